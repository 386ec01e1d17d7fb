// labels: threads
#include "core/control_channel.h"

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <numeric>
#include <thread>

#include "core/control/agreement.h"
#include "kernels/common/check.h"
#include "tests/support/control_ranks.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Catch::EndsWith;
using Catch::StartsWith;

std::vector<int> all_of(int size) {
  std::vector<int> ranks(static_cast<size_t>(size));
  std::iota(ranks.begin(), ranks.end(), 0);
  return ranks;
}

// Seconds; for ranks that live as long as they should, and for those that do not.
ControlOptions patient() { return {}; }
ControlOptions hasty() {
  ControlOptions options;
  options.heartbeat = 0.05;
  options.silence = 1;
  options.farewell = 0.5;
  return options;
}

void ended_well(const std::vector<RankEnd>& ends) {
  for (const RankEnd& end : ends) {
    CHECK(end.thrown == "");
    CHECK(end.said.empty());
    CHECK(!end.exit_code);
  }
}

/// That rank `rank` exited with one line, and that what it was doing then threw.
void exited(const RankEnd& end, int rank, int size, const std::string& reason, int exit_code = 1) {
  REQUIRE(end.said.size() == 1);
  CHECK_THAT(end.said[0],
             StartsWith(fmt::format("cuclip: rank {} of {} exits: ", rank, size)) && Contains(reason));
  CHECK(end.exit_code == exit_code);
  CHECK_THAT(end.thrown, Contains(reason));
  CHECK(!end.wrong_input);
}

// Waits until the run has ended otherwise.
void wait_for_the_others(ControlChannel& channel, int) { channel.maximum("never", 0); }

TEST_CASE("ranks agree, and leave without a word") {
  for (const int size : {2, 3, 8}) {
    CAPTURE(size);
    ended_well(run_control_ranks(size, all_of(size), patient(), [&](ControlChannel& channel, int rank) {
      for (int step = 0; step < 100; ++step) {
        channel.at(step, "loss");
        const int64_t largest = channel.maximum("length", rank == step % size ? 1000 + step : -rank);
        const bool stop = channel.any("stop", step == 99 && rank == size - 1);
        if (largest != 1000 + step || stop != (step == 99)) throw Error(fmt::format("step {}", step));
      }
      channel.agree("the settings", std::string(300000, 'x'));
      channel.agree("nothing", "");
      channel.leave();
    }));
  }
}

TEST_CASE("a rank that leaves waits for the others, who are not taken for dead") {
  std::atomic<int> done = 0;
  ended_well(run_control_ranks(3, all_of(3), hasty(), [&](ControlChannel& channel, int rank) {
    if (rank == 1) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    ++done;
    channel.leave();
    if (done != 3) throw Error("left alone");
  }));
}

TEST_CASE("what differs is said on every rank, with which rank has what") {
  const auto ends = run_control_ranks(4, all_of(4), patient(), [](ControlChannel& channel, int rank) {
    channel.agree("the model", "cuclip-tiny");
    channel.agree("the settings", fmt::format("lr 0.1\nbatch {}\nseed {}\n", rank == 2 ? 32 : 64, rank));
  });
  for (const RankEnd& end : ends) {
    CHECK(end.thrown ==
          "the settings must be the same on all ranks: ranks 0, 1 and 3 have \"batch 64\", rank 2 has "
          "\"batch 32\"");
    CHECK(end.wrong_input);
    CHECK(end.said.empty());
    CHECK(!end.exit_code);
  }
}

TEST_CASE("ranks that ask for different things are told so") {
  const auto ends = run_control_ranks(3, all_of(3), patient(), [](ControlChannel& channel, int rank) {
    rank == 1 ? channel.leave() : channel.agree("the data", "x");
  });
  for (const RankEnd& end : ends) {
    CHECK(end.thrown == "the ranks are out of step: rank 0 agrees on the data, rank 1 on the end of the run");
    CHECK(!end.exit_code);
  }
}

TEST_CASE("what the ranks say is settled by rank") {
  const auto settled = [](const std::vector<std::string>& texts) {
    std::vector<Contribution> by_rank;
    for (const std::string& text : texts) by_rank.push_back(contribute_same("x", text));
    return settle(by_rank).problem;
  };
  CHECK(settled({"a", "a"}) == "");
  CHECK_THAT(settled({"a", "b"}), EndsWith(": rank 0 has \"a\", rank 1 has \"b\""));
  CHECK_THAT(settled({"a\nb\n", "a\nc\n", "a\nc\n"}), EndsWith("rank 0 has \"b\", ranks 1 and 2 have \"c\""));
  CHECK_THAT(settled({"a\n", "a\nb"}), EndsWith("rank 0 has \"\", rank 1 has \"b\""));
  CHECK_THAT(settled({"a", "a\n"}), Contains("1 bytes with the hash") && Contains("2 bytes with the hash"));
  std::string longer(70000, 'a'), other = longer;
  CHECK(settled({longer, other}) == "");
  other.back() = 'b';
  CHECK_THAT(settled({longer, other}), Contains("70000 bytes with the hash"));
  CHECK_THAT(settled({longer, "a"}), Contains("70000 bytes with") && Contains("1 bytes with"));
  CHECK_THAT(settled({"0", "1", "2", "3", "4", "5", "6", "7"}), EndsWith("and 2 other values"));
  CHECK(contribute_same("x", "a").value ==
        static_cast<int64_t>(0xaf63dc4c8601ec8c));  // FNV-1a's published value
  CHECK(name_ranks(std::vector{3}) == "rank 3");
  CHECK(name_ranks(std::vector{0, 1}) == "ranks 0 and 1");
  CHECK(name_ranks(std::vector{0, 1, 2, 5, 7, 8, 9}) == "ranks 0-2, 5 and 7-9");
}

TEST_CASE("a rank whose connection ends takes the others with it") {
  for (const int lost : {1, 2}) {
    const std::vector<int> ranks{0, 3 - lost};
    const auto ends = run_control_ranks(3, ranks, patient(), wait_for_the_others, [&](int port) {
      PlayedRank played(port, hello_of(lost, 3));
      played.hear({FrameKind::welcome});
      played.say(to_frame(Progress{12, "loss"}));
    });
    for (size_t i = 0; i < 2; ++i) {
      exited(
          ends[i], ranks[i], 3,
          fmt::format("rank {0} (host{0}, process 100{0}) at step 12 (loss) has ended without saying goodbye",
                      lost));
    }
  }
}

TEST_CASE("a rank that says nothing any more takes the others with it") {
  const auto begin = std::chrono::steady_clock::now();
  const auto ends = run_control_ranks(3, {0, 1}, hasty(), wait_for_the_others, [&](int port) {
    PlayedRank played(port, hello_of(2, 3));
    played.hear({FrameKind::welcome});
    played.say(to_frame(Progress{3, "saving"}));
    played.hear({FrameKind::end});
  });
  for (int rank = 0; rank < 2; ++rank) {
    exited(ends[static_cast<size_t>(rank)], rank, 3,
           "rank 2 (host2, process 1002) at step 3 (saving) has been silent for 1 s");
  }
  CHECK(std::chrono::steady_clock::now() - begin >= std::chrono::seconds(1));
}

TEST_CASE("a rank that only has much to do is not lost") {
  ended_well(run_control_ranks(2, all_of(2), hasty(), [](ControlChannel& channel, int rank) {
    if (rank == 1)
      std::this_thread::sleep_for(std::chrono::milliseconds(1500));  // longer than the silence allowed
    channel.any("stop", false);
    channel.leave();
  }));
}

/// Rank 0, played by the test: lets rank 1 in.
PlayedRank let_in(const ControlListener& listener) {
  PlayedRank first = accept_rank(listener);
  first.hear({FrameKind::hello});
  first.say({FrameKind::accepted, {}});
  first.say(to_frame(FrameKind::welcome, hello_of(0, 2)));
  return first;
}

TEST_CASE("without rank 0 the others exit") {
  for (const bool silent : {false, true}) {
    const ControlListener listener(ControlListener::Reach::this_machine);
    RankEnd end;
    std::thread other([&] {
      const ControlOptions options = watched(hasty(), end);
      const Hello own = hello_of(1, 2);
      std::vector<Peer> peers;
      peers.push_back(reach_rank_0({{"127.0.0.1"}, listener.port(), 1}, own, options));
      ControlChannel channel(own, std::move(peers), options);
      try {
        channel.agree("the data", "x");
      } catch (const Error& error) {
        end.thrown = error.what();
      }
    });
    {
      PlayedRank first = let_in(listener);
      first.say(to_frame(Progress{7, "evaluation"}));
      first.hear({FrameKind::contribution});
      if (silent) {
        other.join();
        // Once it is continued, it says the same.
        const std::string told = read_ending(first.hear({FrameKind::end}).body).reason;
        CHECK(told == end.thrown.substr(end.thrown.find("rank 0")));
      }
    }
    if (!silent) other.join();
    exited(end, 1, 2,
           std::string("rank 0 (host0, process 1000) at step 7 (evaluation) has ") +
               (silent ? "been silent for 1 s" : "ended without saying goodbye"));
  }
}

TEST_CASE("a rank that fails says why, and the others exit as it does") {
  for (const int failing : {0, 1}) {
    const auto ends = run_control_ranks(3, all_of(3), patient(), [&](ControlChannel& channel, int rank) {
      channel.at(5, "saving");
      if (rank != failing) return wait_for_the_others(channel, rank);
      channel.fail_run("the disk is\nfull", 7);
      channel.fail_run("twice", 8);
      channel.any("stop", false);
    });
    const std::string reason =
        fmt::format("rank {0} (host{0}, process 100{0}) at step 5 (saving) failed: the disk is", failing);
    for (int rank = 0; rank < 3; ++rank) {
      const RankEnd& end = ends[static_cast<size_t>(rank)];
      if (rank != failing) {
        exited(end, rank, 3, reason, 7);
        CHECK_THAT(end.said[0], EndsWith("the disk is?full"));  // one line
      } else {
        CHECK(end.said.empty());
        CHECK(end.thrown == "stop: the control channel is closed");
      }
    }
  }
}

TEST_CASE("a rank that is undone without leaving has failed") {
  const auto ends = run_control_ranks(3, all_of(3), patient(), [&](ControlChannel& channel, int rank) {
    if (rank != 2) wait_for_the_others(channel, rank);
  });
  CHECK(ends[2].thrown == "");
  for (int rank = 0; rank < 2; ++rank) {
    exited(ends[static_cast<size_t>(rank)], rank, 3,
           "rank 2 (host2, process 1002) before the first step (starting) failed: it ended early");
  }
}

TEST_CASE("a rank that is not understood ends the run") {
  const auto ends = run_control_ranks(2, {0}, patient(), wait_for_the_others, [&](int port) {
    PlayedRank played(port, hello_of(1, 2));
    played.hear({FrameKind::welcome});
    played.say({FrameKind::heartbeat, "x"});
    played.hear({FrameKind::end});
  });
  exited(ends[0], 0, 2, "rank 1 (host1, process 1001) before the first step (starting) is not understood");
}

TEST_CASE("whom the others wait for is named, once") {
  ControlOptions options = hasty();
  options.notice = 0.2;
  const auto ends = run_control_ranks(4, all_of(4), options, [](ControlChannel& channel, int rank) {
    channel.at(9, rank == 2 ? "reading data" : "waiting");
    channel.any("stop", false);
    if (rank == 2) std::this_thread::sleep_for(std::chrono::milliseconds(600));
    channel.leave();
  });
  REQUIRE(ends[0].said.size() == 1);
  CHECK_THAT(ends[0].said[0],
             StartsWith("cuclip: the other ranks have waited 0 s for rank 2 (host2, process 1002) at "
                        "step 9 (reading data)"));
  for (const RankEnd& end : ends) CHECK((end.thrown == "" && !end.exit_code));
}

}  // namespace
}  // namespace cuclip::test
