// labels: threads
// How ranks find rank 0, and whom it lets in.
#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <chrono>
#include <fstream>
#include <thread>

#include "core/control/agreement.h"
#include "core/control/join_control.h"
#include "core/ranks.h"
#include "kernels/common/check.h"
#include "tests/support/control_ranks.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

void leave(ControlChannel& channel, int) { channel.leave(); }

void ended_well(const std::vector<RankEnd>& ends) {
  for (const RankEnd& end : ends) {
    CHECK(end.thrown == "");
    CHECK(end.said.empty());
  }
}

/// What rank 0 of a run of 3 throws, and says to everybody, when after rank 1 this one comes.
std::string refusal(const Hello& odd) {
  std::string told_one, told_odd;
  const auto ends = run_control_ranks(3, {0}, {}, leave, [&](int port) {
    PlayedRank one(port, hello_of(1, 3));
    one.hear({FrameKind::accepted});
    PlayedRank other(port, odd);
    told_odd = read_ending(other.hear({FrameKind::end}).body).reason;
    told_one = read_ending(one.hear({FrameKind::end}).body).reason;
  });
  CHECK(ends[0].wrong_input);
  CHECK(ends[0].said.empty());
  CHECK(told_one == ends[0].thrown);
  CHECK(told_odd == ends[0].thrown);
  return ends[0].thrown;
}

TEST_CASE("another version is refused by name") {
  Hello hello = hello_of(2, 3);
  hello.version = "0.9";
  CHECK(refusal(hello) ==
        "rank 0 (host0, process 1000) runs cuclip 1.0, and rank 2 (host2, process 1002) cuclip 0.9: they "
        "must be the "
        "same");
}

TEST_CASE("ranks that do not belong together are refused") {
  const std::string first = "rank 0 (host0, process 1000) was started as one of 3 ranks, and rank ";
  CHECK(refusal(hello_of(2, 4)) == first + "2 (host2, process 1002) as one of 4");
  for (const int rank : {3, -1, 0})
    CHECK_THAT(refusal(hello_of(rank, 3)), Contains(first + std::to_string(rank)));
  Hello second = hello_of(1, 3);
  second.process = 5;
  CHECK(refusal(second) ==
        "two processes were started as rank 1: rank 1 (host1, process 1001) and rank 1 (host1, process 5)");
}

TEST_CASE("a refusal is thrown where it is received") {
  const ControlListener listener(ControlListener::Reach::this_machine);
  for (const int exit_code : {1, 2}) {
    std::thread first([&] {
      PlayedRank played = accept_rank(listener);
      played.hear({FrameKind::hello});
      played.say({FrameKind::accepted, {}});
      played.say(to_frame(Ending{"no", exit_code}));
    });
    std::string thrown;
    bool wrong_input = false;
    try {
      reach_rank_0({{"127.0.0.1"}, listener.port(), 1}, hello_of(1, 2), {});
    } catch (const Error& error) {
      thrown = error.what();
      wrong_input = dynamic_cast<const InputError*>(&error) != nullptr;
    }
    first.join();
    CHECK(thrown == "no");
    CHECK(wrong_input == (exit_code == 2));
  }
}

TEST_CASE("ranks that do not come are named, and one that goes may come again") {
  ControlOptions options;
  options.join = 2;
  std::string told;
  const auto ends = run_control_ranks(5, {0}, options, leave, [&](int port) {
    PlayedRank one(port, hello_of(1, 5)), three(port, hello_of(3, 5));
    told = read_ending(one.hear({FrameKind::end}).body).reason;
  });
  CHECK_THAT(ends[0].thrown, Contains("ranks 2 and 4 of 5 did not join within 2 s"));
  CHECK(!ends[0].wrong_input);
  CHECK(told == ends[0].thrown);
  ended_well(run_control_ranks(
      3, {0}, {}, [](ControlChannel&, int) {},
      [](int port) {
        {
          PlayedRank gone(port, hello_of(1, 3));
          gone.hear({FrameKind::accepted});
        }
        PlayedRank again(port, hello_of(1, 3));
        again.hear({FrameKind::accepted});
        PlayedRank last(port, hello_of(2, 3));
        again.hear({FrameKind::welcome});
        again.hear({FrameKind::end});
      }));
}

TEST_CASE("rank 0 that is not there is looked for, and then named") {
  ControlOptions options;
  options.join = 0.3;
  int port = 0;
  {
    const ControlListener listener(ControlListener::Reach::this_machine);
    port = listener.port();
  }
  try {
    reach_rank_0({{"127.0.0.1", "no.such.host.invalid"}, port, 2}, hello_of(1, 2), options);
    FAIL("found");
  } catch (const Error& error) {
    CHECK_THAT(error.what(),
               Contains("rank 1 (host1, process 1001) did not find rank 0") &&
                   Contains(fmt::format("127.0.0.1, no.such.host.invalid, ports {} to {}", port, port + 1)));
  }
}

TEST_CASE("strangers do not disturb those who join") {
  const auto ends = run_control_ranks(3, {0, 1}, {}, leave, [](int port) {
    const Descriptor silent = connect_to_port(port), request = connect_to_port(port),
                     torn = connect_to_port(port);
    for (const std::string& text : {std::string("GET / HTTP/1.1\r\n\r\n"), std::string(100000, '\0')}) {
      (void)!::send(request.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
    (void)!::send(torn.get(), "\5\0\0\0\0abcde", 10, MSG_NOSIGNAL);  // a hello that is none
    PlayedRank other(port, hello_of(2, 3, "another run"));
    other.hear({FrameKind::other_run});
    PlayedRank played(port, hello_of(2, 3));
    played.hear({FrameKind::welcome});
    Contribution goodbye;
    goodbye.kind = AgreementKind::leave;
    goodbye.name = "the end of the run";
    played.say(to_frame(goodbye));
    played.hear({FrameKind::result});
  });
  ended_well(ends);
}

/// The ranks of a run as torchrun launches them.
struct TorchRun {
  TorchRun(int first_port, const std::string& run_id, int size) {
    for (int rank = 0; rank < size; ++rank) {
      launches.push_back({.launcher = Launcher::torchrun,
                          .rank = rank,
                          .size = size,
                          .local_rank = rank,
                          .local_size = size,
                          .host = "localhost",
                          .first_port = first_port,
                          .run_id = run_id});
    }
    ends.resize(launches.size());
  }

  void start(int rank) {
    threads.emplace_back([this, rank] {
      RankEnd& end = ends[static_cast<size_t>(rank)];
      try {
        const auto channel = join_control(launches[static_cast<size_t>(rank)], nullptr, watched({}, end));
        channel->agree("the run", launches[static_cast<size_t>(rank)].run_id);
        channel->leave();
      } catch (const std::exception& error) {
        end.thrown = error.what();
      }
    });
  }
  void join() {
    for (std::thread& thread : threads) thread.join();
  }

  std::vector<Launch> launches;
  std::vector<RankEnd> ends;
  std::vector<std::thread> threads;
};

TEST_CASE("runs whose ports overlap tell each other apart") {
  // Somebody else has the first port, and does not speak as we do.
  const ControlListener taken(ControlListener::Reach::network);
  std::atomic<bool> over = false;
  int answered = 0;
  std::thread other_service([&] {
    while (!over) {
      pollfd ready{.fd = taken.fd(), .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 10) != 1) continue;
      const Descriptor socket(::accept4(taken.fd(), nullptr, nullptr, SOCK_CLOEXEC));
      (void)!::send(socket.get(), "HTTP/1.1 400 Bad Request\r\n\r\n", 28, MSG_NOSIGNAL);
      ++answered;
    }
  });
  TorchRun a(taken.port(), "a", 2), b(taken.port(), "b", 2);
  for (TorchRun* run : {&a, &b}) {
    run->start(1);  // before there is a rank 0
    run->start(0);
  }
  a.join();
  b.join();
  over = true;
  other_service.join();
  CHECK(answered >= 2);  // each rank but the first asked there
  ended_well(a.ends);
  ended_well(b.ends);
}

int threads_of_this_process() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    if (word == "Threads:") {
      int count = 0;
      status >> count;
      return count;
    }
  }
  throw Error("/proc/self/status has no number of threads");
}

TEST_CASE("a process alone starts nothing") {
  const int before = threads_of_this_process();
  const auto alone = join_ranks({});
  CHECK(threads_of_this_process() == before);
  CHECK(alone->control() == nullptr);
  CHECK(alone->communicator().size() == 1);
  CHECK((alone->rank() == 0 && alone->size() == 1));
  alone->at(1, "loss");
  alone->fail_run("no matter", 1);
  alone->leave();
}

TEST_CASE("several ranks on the CPU need mpirun") {
  for (const Launcher launcher : {Launcher::torchrun, Launcher::slurm}) {
    try {
      join_ranks({.launcher = launcher, .rank = 1, .size = 4});
      FAIL("joined");
    } catch (const InputError& error) {
      CHECK_THAT(error.what(),
                 Contains(std::string(word(launcher)) + " started 4 processes") && Contains("mpirun -n 4"));
    }
  }
}

}  // namespace
}  // namespace cuclip::test
