// How the ranks of a run find rank 0 and are let in.
#pragma once

#include <string>
#include <vector>

#include "core/control/frame_socket.h"
#include "core/control/frames.h"
#include "core/control_channel.h"

namespace cuclip {

/// The rank at the other end of a connection.
struct Peer {
  Hello who;
  FrameSocket socket;
};

/// Where rank 0 listens: one of these hosts, one of these ports.
struct ControlAddress {
  std::vector<std::string> hosts;
  int first_port = 0, ports = 1;
};

/// Rank 0's socket. Throws Error where the system has no port for it.
class ControlListener {
 public:
  enum class Reach : uint8_t { this_machine, network };
  /// On any free port.
  explicit ControlListener(Reach reach);
  /// For the whole network, on the first of these ports that is free.
  ControlListener(int first_port, int ports);

  int fd() const { return socket_.get(); }
  int port() const;
  /// Under which others reach it.
  std::vector<std::string> hosts() const;

 private:
  Reach reach_;
  Descriptor socket_;
};

/// On rank 0: the others, by rank. Ranks of other runs are sent on, strangers dropped. Throws InputError
/// where one has another version of cuclip or takes the run for another size, or two say that they are the
/// same rank, and Error where not all have come in time; all who have come are told.
std::vector<Peer> gather_ranks(const ControlListener& listener, const Hello& own,
                               const ControlOptions& options);

/// On the others: rank 0, once all have come. Throws what it throws there, and Error where it cannot be
/// found.
Peer reach_rank_0(const ControlAddress& address, const Hello& own, const ControlOptions& options);

}  // namespace cuclip
