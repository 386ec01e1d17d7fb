// Every other function of the runtime API: it fails, and says its name.
#include <cstdio>

#define STUB(name)                                                                 \
  extern "C" __attribute__((weak)) int name() {                                    \
    std::fprintf(stderr, "emulate: %s is not supported by the emulator\n", #name); \
    return 801; /* cudaErrorNotSupported */                                        \
  }
#include "runtime/stubs.inc"
