// Skipped cases are told from passed ones (tests/support/skip.h). The hidden cases are run by this program's
// own test, in a process of their own.
#include "tests/support/skip.h"

#include <catch2/catch.hpp>

#include "tests/support/command.h"

using namespace cuclip::test;

TEST_CASE("skips", "[.skips]") {
  CHECK(true);
  CUCLIP_SKIP_IF(true, "the reason");
  FAIL("it goes on");
}

TEST_CASE("does not skip", "[.passes]") {
  CUCLIP_SKIP_IF(false, "no reason");
  CHECK(true);
}

// As many failures as the code for skipped programs.
TEST_CASE("fails", "[.fails]") {
  for (int i = 0; i < kAllSkipped; ++i) CHECK(false);
}

TEST_CASE(
    "a program says which cases it skipped, and exits with 4 if it skipped all and with 1 if one failed") {
  const auto run = [](const std::string& selected) { return run_program("/proc/self/exe", {selected}); };
  const auto contains = [](const std::string& text) { return Catch::Contains(text); };
  const CommandResult all = run("[.skips]"), some = run("[.skips],[.passes]"), none = run("[.passes]"),
                      failed = run("[.skips],[.fails]");
  CHECK(all.exit_code == kAllSkipped);
  CHECK_THAT(all.err, contains("skipped: 1 of 1 cases: the reason\n"));
  CHECK(some.exit_code == 0);
  CHECK_THAT(some.err, contains("skipped: 1 of 2 cases: the reason\n"));
  CHECK(none.exit_code == 0);
  CHECK_THAT(none.err, !contains("skipped"));
  CHECK(failed.exit_code == 1);
  CHECK_THAT(failed.err, contains("skipped: 1 of 2 cases: the reason\n"));
}
