// One rank of the runs of mpi_test.cpp, which mpirun starts.
//
// mpi_ranks messages PIECE_BYTES   everything that ranks can send each other
// mpi_ranks sizes                  each rank but the first expects another size than rank 0 sends
// mpi_ranks run FAULT RANK         steps; at one of them that rank has an accident
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "core/control/join_control.h"
#include "core/mpi_communicator.h"
#include "core/ranks.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {

using Bytes = std::vector<uint8_t>;

TensorView view(Bytes& bytes) { return make_view(bytes.data(), {std::ssize(bytes)}); }

void expect(bool condition, const std::string& what) {
  if (!condition) throw Error(what);
}

/// What rank `from` sends rank `to` as the `number`th message.
Bytes message(int from, int to, int number, int64_t bytes) {
  Bytes all(static_cast<size_t>(bytes));
  uint32_t x = static_cast<uint32_t>(1 + from + 64 * to + 4096 * number);
  for (uint8_t& byte : all) {
    x = x * 1664525 + 1013904223;
    byte = static_cast<uint8_t>(x >> 24);
  }
  return all;
}

/// All ranks to all, messages of several sizes at once; what arrives is what was sent, in order.
void everyone_to_everyone(Communicator& ranks, const std::vector<int64_t>& sizes) {
  std::vector<Bytes> sent, received, expected;
  for (int other = 0; other < ranks.size(); ++other) {
    for (int i = 0; i < static_cast<int>(sizes.size()); ++i) {
      const int64_t bytes = sizes[static_cast<size_t>(i)];
      sent.push_back(message(ranks.rank(), other, i, bytes));
      received.emplace_back(static_cast<size_t>(bytes), uint8_t{0xaa});
      expected.push_back(message(other, ranks.rank(), i, bytes));
    }
  }
  std::vector<Message> sends, receives;
  for (size_t i = 0; i < sent.size(); ++i) {
    const int other = static_cast<int>(i / sizes.size());
    sends.push_back({other, view(sent[i])});
    receives.push_back({other, view(received[i])});
  }
  ranks.exchange(sends, receives)->wait();
  expect(received == expected, "messages from everyone");
}

void two_under_way(Communicator& ranks) {
  const int next = (ranks.rank() + 1) % ranks.size(), last = (ranks.rank() + ranks.size() - 1) % ranks.size();
  Bytes a = message(ranks.rank(), next, 1, 5000), b = message(ranks.rank(), next, 2, 5000), got_a(5000),
        got_b(5000);
  const Message send_a{next, view(a)}, send_b{next, view(b)}, receive_a{last, view(got_a)},
      receive_b{last, view(got_b)};
  const auto first = ranks.exchange({&send_a, 1}, {&receive_a, 1});
  const auto second = ranks.exchange({&send_b, 1}, {&receive_b, 1});
  first->wait();
  expect(got_a == message(last, ranks.rank(), 1, 5000), "the first exchange");
  second->wait();
  expect(got_b == message(last, ranks.rank(), 2, 5000), "the second exchange");
}

void messages(const Launch& launch, int64_t piece_bytes) {
  const auto ranks = MpiCommunicator::join(launch, piece_bytes);
  everyone_to_everyone(*ranks, {3, 0, 999, 1000, 1001, 2000, 70000, 1});
  expect(ranks->bytes_sent() == 75004 * (ranks->size() - 1), "bytes sent");
  if (piece_bytes > 1000) everyone_to_everyone(*ranks, {4 << 20, 5});
  two_under_way(*ranks);
  Bytes own = message(ranks->rank(), 0, 0, 1234), all(own.size() * static_cast<size_t>(ranks->size())),
        expected;
  for (int r = 0; r < ranks->size(); ++r) {
    const Bytes row = message(r, 0, 0, 1234);
    expected.insert(expected.end(), row.begin(), row.end());
  }
  ranks->all_gather(view(own), make_view(all.data(), {ranks->size(), 1234}));
  expect(all == expected, "rows gathered");
  for (int root = 0; root < ranks->size(); ++root) {
    Bytes x = message(ranks->rank(), 0, 0, 4321);
    ranks->broadcast(view(x), root);
    expect(x == message(root, 0, 0, 4321), "broadcast");
    ranks->barrier();
  }
  ranks->finish();
  std::printf("rank %d of %d: all messages\n", ranks->rank(), ranks->size());
}

void sizes(const Launch& launch) {
  constexpr int64_t kSent[] = {0, 12, 24, 1000, 2500, 0, 2000, 1};
  constexpr int64_t kExpected[] = {0, 24, 12, 2500, 1000, 7, 2001, 0};
  const auto ranks = MpiCommunicator::join(launch, 1000);
  const auto control = join_control(launch, ranks.get(), {});
  std::vector<Bytes> memory;
  std::unique_ptr<Exchange> under_way;
  if (ranks->rank() == 0) {
    std::vector<Message> sends;
    for (int r = 1; r < ranks->size(); ++r) memory.emplace_back(static_cast<size_t>(kSent[r]));
    for (int r = 1; r < ranks->size(); ++r) sends.push_back({r, view(memory[static_cast<size_t>(r - 1)])});
    under_way = ranks->exchange(sends, {});
  } else {
    memory.emplace_back(static_cast<size_t>(kExpected[ranks->rank()]));
    const Message receive{0, view(memory[0])};
    try {
      ranks->exchange({}, {&receive, 1})->wait();
      std::printf("rank %d noticed nothing\n", ranks->rank());
    } catch (const Error& error) {
      std::printf("rank %d: %s\n", ranks->rank(), error.what());
    }
  }
  std::fflush(stdout);
  control->leave();
  ::_exit(1);  // without the end of MPI, which pieces that never come would keep waiting
}

/// Stops this process for some seconds.
void pause_for(unsigned seconds) {
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child == 0) {
    ::kill(parent, SIGSTOP);
    ::sleep(seconds);
    ::kill(parent, SIGCONT);
    ::_exit(0);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
}

void have_accident(const std::string& fault, Ranks& ranks) {
  std::fprintf(stderr, "accident: rank %d, process %d\n", ranks.rank(), static_cast<int>(::getpid()));
  if (fault == "killed") ::kill(::getpid(), SIGKILL);
  if (fault == "stopped") ::kill(::getpid(), SIGSTOP);
  if (fault == "exit") ::_exit(0);
  if (fault == "error") throw InputError("the data are damaged");
}

/// Steps that end when a rank asks for it, or has an accident.
void run(const Launch& launch, const std::string& fault, int faulty) {
  ControlOptions options;
  options.heartbeat = 0.2;
  options.silence = 2;
  if (fault == "version" && launch.rank == faulty) options.version = "0.0.1";
  const auto ranks = join_ranks(launch, options);
  try {
    int64_t step = 1;
    for (;; ++step) {
      ranks->at(step, "training");
      ranks->communicator().barrier();
      if (step == 20 && fault == "paused") pause_for(4);
      if (step == 20 && ranks->rank() == faulty && fault != "paused") have_accident(fault, *ranks);
      const bool asked = step == 30 || (fault == "asked" && step >= 20 && ranks->rank() == faulty);
      if (ranks->control()->any("stop", asked)) break;
    }
    ranks->leave();
    std::printf("rank %d of %d: %lld steps\n", ranks->rank(), ranks->size(), static_cast<long long>(step));
  } catch (const InputError& error) {
    ranks->fail_run(error.what(), 2);
    throw;
  } catch (const Error& error) {
    ranks->fail_run(error.what(), 1);
    throw;
  }
}

}  // namespace
}  // namespace cuclip

int main(int argc, char** argv) {
  // As cuclip does: mpirun's SIGTERM does not end the ranks, its SIGKILL does a second later.
  sigset_t terminate;
  sigemptyset(&terminate);
  sigaddset(&terminate, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &terminate, nullptr);
  const std::string what = argc > 1 ? argv[1] : "";
  try {
    const cuclip::Launch launch = cuclip::find_launch(std::getenv);
    if (what == "messages" && argc == 3) {
      cuclip::messages(launch, std::atoll(argv[2]));
    } else if (what == "sizes" && argc == 2) {
      cuclip::sizes(launch);
    } else if (what == "run" && argc == 4) {
      cuclip::run(launch, argv[2], std::atoi(argv[3]));
    } else {
      throw cuclip::InputError("mpi_ranks messages PIECE_BYTES | sizes | run FAULT RANK");
    }
  } catch (const cuclip::InputError& error) {
    std::fprintf(stderr, "mpi_ranks: %s\n", error.what());
    return 2;
  } catch (const cuclip::Error& error) {
    std::fprintf(stderr, "mpi_ranks: %s\n", error.what());
    return 1;
  }
}
