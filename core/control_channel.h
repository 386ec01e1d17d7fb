// Beside the messages of a run's ranks: how they agree on small things, and how a rank that is lost ends the
// run on all of them, within a minute and with its name.
//
// Every rank has a TCP connection to rank 0, served by a thread of its own that computes nothing and calls
// neither MPI nor CUDA: it answers while these wait for a rank that is gone, as they do for ever
// (docs/decisions/0018-ranks.md).
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

struct Hello;
struct Peer;

/// Seconds, and for tests what else is the process's own.
struct ControlOptions {
  double join = 120;      // until all ranks have found each other
  double heartbeat = 1;   // between two signs of life
  double silence = 30;    // without one, a rank is lost
  double notice = 60;     // what others wait for in an agreement is named after so long
  double farewell = 2;    // for last words to lost ranks, and from them
  std::string version{};  // of cuclip; empty: the library's
  std::function<void(const std::string& line)> say{};  // empty: to standard error
  std::function<void(int exit_code)> exit{};           // empty: the process ends (abandon_writes_and_exit)
};

/// Calls come from one thread at a time; `at` and `fail_run` from any. Every rank makes the same agreements
/// in the same order, and waits in each for the last rank.
///
/// Where another rank ends without leave(), or says nothing for `silence`, or has called fail_run, this
/// process prints one line, which names that rank, its host and process, its step and what it was at when it
/// was last heard, and exits: with 1, or as the other rank does. Time during which this process itself was
/// stopped does not count.
class ControlChannel {
 public:
  /// Takes over the connections that join_control has made: rank 0's to all others, the others' to rank 0.
  ControlChannel(const Hello& own, std::vector<Peer> peers, const ControlOptions& options);
  /// Without leave(): the others are told that this rank ended early.
  ~ControlChannel();
  ControlChannel(const ControlChannel&) = delete;
  ControlChannel& operator=(const ControlChannel&) = delete;

  /// Throws InputError on every rank where the ranks' bytes are not the same, which says what which rank has:
  /// the first line that differs of up to 64 KiB, otherwise size and hash. The channel is closed then.
  void agree(std::string_view name, std::string_view bytes);
  /// The largest of the ranks' values.
  int64_t maximum(std::string_view name, int64_t value);
  /// Whether any rank says so: a rank that has been asked to stop makes all stop after the same step.
  bool any(std::string_view name, bool value) { return maximum(name, value ? 1 : 0) != 0; }

  /// What this rank is at, for messages: "loss", "saving". Costs a lock; sent with the next heartbeat.
  void at(int64_t step, std::string_view operation);

  /// This rank has failed and is about to exit: the others exit with this code, and say why. Returns when
  /// they have been told; the channel is closed then. Does nothing on a closed channel.
  void fail_run(std::string_view reason, int exit_code);

  /// Returns when every rank has called it. From then on nobody misses anybody; the channel is closed.
  void leave();

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace cuclip
