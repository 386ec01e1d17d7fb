// Catch2's main: slow to compile, so it is compiled once for all test programs.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <cstdio>
#include <map>
#include <set>

#include "tests/support/skip.h"

#ifdef __SANITIZE_THREAD__
// oneDNN is not instrumented: the sanitizer sees its locks but not its atomics, and takes the lazy
// initialisation of its primitive cache for a race. What one thread builds there, another reads inside the
// library or in the inline functions of its C++ header.
extern "C" const char* __tsan_default_suppressions() { return "race:libdnnl\nrace:oneapi/dnnl/dnnl.hpp\n"; }
#endif

#ifdef __has_feature
#if __has_feature(address_sanitizer)
// A test may ask for more memory than there is, and be told so as by any allocator.
extern "C" const char* __asan_default_options() { return "allocator_may_return_null=1"; }
#endif
#endif

namespace {

std::string running;
size_t cases = 0;
std::set<std::string> skipped;
std::map<std::string, std::set<std::string>> skipped_by_reason;

class Cases : public Catch::TestEventListenerBase {
 public:
  using TestEventListenerBase::TestEventListenerBase;
  void testCaseStarting(const Catch::TestCaseInfo& info) override {
    running = info.name;
    ++cases;
  }
};
CATCH_REGISTER_LISTENER(Cases)

}  // namespace

void cuclip::test::note_skipped(const std::string& reason) {
  skipped.insert(running);
  skipped_by_reason[reason].insert(running);
}

int main(int argc, char** argv) {
  using cuclip::test::kAllSkipped;
  const int result = Catch::Session().run(argc, argv);
  for (const auto& [reason, names] : skipped_by_reason)
    std::fprintf(stderr, "skipped: %zu of %zu cases: %s\n", names.size(), cases, reason.c_str());
  if (result == 0) return cases > 0 && skipped.size() == cases ? kAllSkipped : 0;
  return result == kAllSkipped ? 1 : result;  // Catch2 2 returns how many assertions failed
}
