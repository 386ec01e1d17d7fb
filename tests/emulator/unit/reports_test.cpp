// What the checks cost where they find the same again and again: no more texts than there are findings.
#include <catch2/catch.hpp>
#include <map>
#include <sstream>

#include "checks/checker.h"
#include "engine/decode.h"

using namespace emu;

namespace {

// A kernel that does something 500 times.
std::string looping(const char* before, const char* body) {
  std::ostringstream text;
  text << R"(.version 9.0
.target sm_80
.address_size 64
.global .u32 g;
.visible .entry k()
{
  .reg .pred %p<4>;
  .reg .b32 %r<9>;
  .reg .b64 %rd<9>;
  .shared .u32 s[64];
  mov.u32 %r1, %tid.x;
  mov.u32 %r2, 0;
)";
  text << before << "$L_1:\n"
       << body << R"(
  add.u32 %r2, %r2, 1;
  setp.lt.u32 %p1, %r2, 500;
  @%p1 bra $L_1;
  ret;
}
)";
  return text.str();
}

// Runs it under the full checks and returns what is reported: how often each thing.
std::map<std::string, int> reports_of(const std::string& text, u32 threads, u32 blocks) {
  const auto module = ptx::parse(text);
  alignas(8) u32 variable = 0;
  LinkedModule linked;
  linked.module = module.get();
  linked.address["g"] = reinterpret_cast<u64>(&variable);
  const auto image = build_image(*module, linked, *module->find_function("k"), true);
  Bits defined(4);
  defined.set(0, 4);
  Stamps stamps(linked.address["g"], linked.address["g"] + 4);
  CheckedRange range;
  range.begin = linked.address["g"];
  range.end = range.begin + 4;
  range.name = "variable g";
  range.defined = &defined;
  range.stamps = &stamps;
  std::map<std::string, int> reports;
  Checker checker({range}, true, [&](const Finding& finding) { ++reports[finding.key]; });
  Options options;
  options.check = CheckLevel::full;
  Launch launch;
  launch.watcher = &checker;
  launch.image = image.get();
  launch.name = "k";
  launch.block[0] = threads;
  launch.grid[0] = blocks;
  launch.stack_bytes = (image->frame_bytes + 63) & ~u64{63};
  launch.options = &options;
  const auto fault = run_launch(launch);
  INFO((fault ? fault->what() : ""));
  REQUIRE(!fault);
  return reports;
}

void expect(const std::map<std::string, int>& reports, size_t findings) {
  CHECK(reports.size() == findings);
  for (const auto& [key, times] : reports) {
    INFO(key);
    CHECK(times == 1);
  }
}

}  // namespace

TEST_CASE("a finding is told once, however often it is found") {
  SECTION("races in shared memory") {
    expect(reports_of(looping("", "add.u32 %r3, %r1, %r2; st.shared.u32 [s], %r3; ld.shared.u32 %r4, [s];"),
                      64, 3),
           2);
  }
  SECTION("races between blocks") {
    expect(reports_of(
               looping("mov.u32 %r5, %ctaid.x;", "mad.lo.u32 %r3, %r5, 1000, %r2; st.global.u32 [g], %r3;"),
               1, 40),
           1);
  }
  SECTION("plain reads that race with atomics") {
    expect(reports_of(looping("", "red.global.add.u32 [g], 1; ld.global.u32 %r3, [g];"), 1, 40), 1);
  }
  SECTION("copies that have not been waited for") {
    expect(reports_of(looping("mov.u32 %r5, s; mov.u64 %rd1, g;",
                              "cp.async.ca.shared.global [%r5], [%rd1], 4; ld.shared.u32 %r3, [s];"),
                      1, 3),
           1);
  }
  SECTION("branches on what was never written") {
    expect(reports_of(looping("",
                              "ld.shared.u32 %r3, [s+8]; setp.eq.u32 %p2, %r3, 7; @%p2 bra $L_2;"
                              "add.u32 %r4, %r4, 1; $L_2:"),
                      32, 3),
           1);
  }
  SECTION("lanes outside the membermask") {
    expect(reports_of(looping("", "bar.warp.sync 0x0000ffff;"), 32, 3), 1);
  }
}
