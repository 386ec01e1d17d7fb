// Ranks on the control channel as threads of one process, and ranks that the tests play themselves.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/control/join.h"
#include "core/control_channel.h"

namespace cuclip::test {

/// How a rank ended.
struct RankEnd {
  std::vector<std::string> said;
  std::optional<int> exit_code;  // of the process, had it been one
  std::string thrown;
  bool wrong_input = false;  // thrown as InputError
};

/// Options under which rank `rank`'s words and exit go into `end`.
ControlOptions watched(ControlOptions options, RankEnd& end);

/// Who a test's rank says it is: of host "host<rank>", as process 1000 + rank.
Hello hello_of(int rank, int size, const std::string& run_id = "test");

/// Runs `rank` for each of `ranks` of a run of `size` on a thread of its own, and `beside` on this one with
/// the port of rank 0, which is among them: the test plays those that are missing. Returns how each of
/// `ranks` ended.
std::vector<RankEnd> run_control_ranks(int size, const std::vector<int>& ranks, const ControlOptions& options,
                                       const std::function<void(ControlChannel&, int rank)>& rank,
                                       const std::function<void(int port)>& beside = {});

/// A rank that the test plays: it says only what it is told to.
class PlayedRank {
 public:
  /// Connects to rank 0 and says hello.
  PlayedRank(int port, const Hello& hello);
  /// Of a connection that rank 0, played by the test, has accepted.
  explicit PlayedRank(FrameSocket socket) : socket_(std::move(socket)) {}

  void say(const Frame& frame);
  /// The next frame of one of these kinds, waited for; throws at the connection's end.
  Frame hear(std::initializer_list<FrameKind> kinds);

 private:
  FrameSocket socket_;
};

/// The test as rank 0: the next connection, waited for.
PlayedRank accept_rank(const ControlListener& listener);

/// A connection to this machine's port.
Descriptor connect_to_port(int port);

}  // namespace cuclip::test
