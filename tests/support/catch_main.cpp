// Catch2's main: slow to compile, so it is compiled once for all test programs.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>

#ifdef __SANITIZE_THREAD__
// oneDNN is not instrumented: the sanitizer sees its locks but not its atomics, and takes the lazy
// initialisation of its primitive cache for a race. What one thread builds there, another reads inside the
// library or in the inline functions of its C++ header.
extern "C" const char* __tsan_default_suppressions() { return "race:libdnnl\nrace:oneapi/dnnl/dnnl.hpp\n"; }
#endif
