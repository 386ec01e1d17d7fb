// One connection of the control channel: frames over a TCP socket that never waits.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "core/control/frames.h"

namespace cuclip {

/// A file descriptor, closed at the end.
class Descriptor {
 public:
  explicit Descriptor(int fd = -1) : fd_(fd) {}
  ~Descriptor();
  Descriptor(Descriptor&& other) noexcept;
  Descriptor& operator=(Descriptor&& other) noexcept;
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }

 private:
  int fd_;
};

class FrameSocket {
 public:
  FrameSocket() = default;
  /// Takes over a connected socket.
  explicit FrameSocket(Descriptor socket);

  int fd() const { return socket_.get(); }
  explicit operator bool() const { return static_cast<bool>(socket_); }

  /// To be sent by flush().
  void put(const Frame& frame);
  bool has_to_send() const { return !out_.empty(); }
  /// Sends what the system takes now. False when the connection is gone.
  bool flush();

  /// Receives what has come. False at the connection's end: what came before it is still there for next().
  bool receive();
  /// The next whole frame. Throws Error for what cannot be one.
  std::optional<Frame> next();

  /// Nothing will be sent any more; the other side learns so after what it has been sent.
  void stop_sending();
  /// Receives what has come and forgets it. False at the connection's end.
  bool drain();

 private:
  Descriptor socket_;
  std::string out_, in_;
};

/// Sends what is left to be sent, and with `wait_for_others` waits until they have closed their ends too:
/// a socket that is closed while something is unread may lose what was sent last. Takes at most `seconds`.
void part(std::vector<FrameSocket> sockets, bool wait_for_others, double seconds);

}  // namespace cuclip
