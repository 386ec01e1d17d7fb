#include <catch2/catch.hpp>
#include <random>

#include "checks/bits.h"
#include "checks/order.h"
#include "engine/flow.h"

using namespace emu;

TEST_CASE("bits over words agree with bits one by one") {
  std::mt19937 random(1);
  Bits bits(1000);
  std::vector<bool> expected(1000, false);
  for (int round = 0; round < 2000; ++round) {
    const uint64_t first = random() % 900, count = 1 + random() % 100;
    if (random() % 2 == 0) {
      bits.set(first, count);
      std::fill_n(expected.begin() + static_cast<int>(first), count, true);
    } else {
      bits.reset(first, count);
      std::fill_n(expected.begin() + static_cast<int>(first), count, false);
    }
    const uint64_t from = random() % 900, size = 1 + random() % 70;
    const auto begin = expected.begin() + static_cast<int>(from);
    REQUIRE(bits.all(from, size) ==
            std::all_of(begin, begin + static_cast<int>(size), [](bool on) { return on; }));
  }
}

namespace {

Stamp stamp(u32 instance, u32 segment, u32 warp, Stamp flags = kBytes) {
  return static_cast<Stamp>(instance) << kInstanceShift | static_cast<Stamp>(segment) << kSegmentShift |
         static_cast<Stamp>(warp) << kWarpShift | flags;
}

// Warp 3 of instance 12, of a launch that began with instance 10; the last barrier began segment 5.
Moment moment() {
  Moment m;
  m.launch = m.past = stamp(10, 0, 0, 0);
  m.block = stamp(12, 0, 0, 0);
  m.barrier = stamp(12, 5, 0, 0);
  m.now = stamp(12, 6, 3);
  return m;
}

}  // namespace

TEST_CASE("stamps need a closer look where order is not plain") {
  const Moment m = moment();
  const auto check = [&](Stamp write, Stamp read, bool may_read, bool may_write) {
    INFO(write << " " << read);
    Stamps stamps(2000, 4000);
    const u64 first = 2060, odd = 2068;
    *stamps.write(odd) = stamps.highest_write(odd) = write;
    *stamps.read(odd) = stamps.highest_read(odd) = read;
    CHECK(stamp_reads(stamps, first, 20, m) == may_read);
    CHECK((*stamps.read(first) == m.now) == may_read);
    *stamps.read(first) = 0;
    *stamps.read(odd) = read;
    CHECK(stamp_writes(stamps, first, 20, m) == may_write);
    CHECK((*stamps.write(first + 16) == m.now) == may_write);
  };
  check(0, 0, true, true);
  check(stamp(9, 900, 1), stamp(9, 900, 1), true, true);  // an earlier launch
  check(stamp(12, 6, 3), stamp(12, 2, 3), true, true);    // the warp itself
  check(stamp(12, 4, 1), stamp(12, 4, 1), true, true);    // before the barrier
  check(stamp(12, 5, 1), 0, false, false);                // after it
  check(0, stamp(12, 5, 1), true, false);
  check(stamp(11, 5, 3), 0, false, false);                 // another block
  check(0, stamp(11, 5, 3), false, false);                 // the reader is to be remembered
  check(0, stamp(11, 5, 3, kBytes | kWide), true, false);  // read by several blocks
  check(0, stamp(12, 6, 3, kBytes | kMany), true, false);  // by several warps
  check(0, stamp(12, 4, 1, kBytes | kMany), true, true);
  check(0, stamp(12, 4, 1, kBytes | kWide), true, false);
}

TEST_CASE("a release covers the segments before its bound, at its time") {
  Releases releases;
  CHECK_FALSE(releases.before(0, 100));
  releases.add(3, 10);
  releases.add(7, 20);
  CHECK(releases.before(2, 10));
  CHECK_FALSE(releases.before(2, 9));
  CHECK_FALSE(releases.before(3, 19));
  CHECK(releases.before(6, 20));
  CHECK_FALSE(releases.before(7, 99));
}

TEST_CASE("a suspicion is reported at the reader's end, unless forgiven") {
  std::vector<std::string> reports;
  Order order([&](const Finding& finding) { reports.push_back(finding.text); });
  order.begin(4);
  const u32 first = order.first_instance();
  order.suspect(first, 64, {nullptr, "", "", "forgiven"});
  order.suspect(first, 68, {nullptr, "", "", "kept"});
  order.suspect(first + 1, 64, {nullptr, "", "", "of another"});
  order.forgive(first, 64);
  CHECK(reports.empty());
  order.end(first);
  CHECK(reports == std::vector<std::string>{"kept"});
  order.suspect(first, 72, {nullptr, "", "", "late"});
  CHECK(reports.back() == "late");
}

TEST_CASE("lanes meet again although a loop's only way out is short") {
  const auto module = ptx::parse(R"(.version 9.0
.target sm_80
.address_size 64
.visible .entry k()
{
  .reg .pred %p<3>;
  .reg .b32 %r<3>;
  mov.u32 %r1, %tid.x;
  setp.eq.s32 %p1, %r1, 0;
  @%p1 bra $L_1;
  add.s32 %r1, %r1, 1;
$L_1:
  bar.sync 0;
$L_2:
  add.s32 %r1, %r1, 1;
  setp.lt.s32 %p2, %r1, 9;
  @%p2 bra $L_2;
  mov.u32 %r2, 1;
  ret;
}
)");
  const Flow flow(*module->functions.at(0));
  CHECK(flow.meet(2) == 4);
  CHECK(flow.is_meet(4));
}
