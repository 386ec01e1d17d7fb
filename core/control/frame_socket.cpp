#include "core/control/frame_socket.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "core/clock.h"
#include "kernels/common/check.h"

namespace cuclip {

Descriptor::~Descriptor() {
  if (fd_ >= 0) ::close(fd_);
}

Descriptor::Descriptor(Descriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}

Descriptor& Descriptor::operator=(Descriptor&& other) noexcept {
  std::swap(fd_, other.fd_);
  return *this;
}

FrameSocket::FrameSocket(Descriptor socket) : socket_(std::move(socket)) {
  const int on = 1;
  ::setsockopt(fd(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // agreements are short, and awaited
  ::fcntl(fd(), F_SETFL, ::fcntl(fd(), F_GETFL) | O_NONBLOCK);
}

void FrameSocket::put(const Frame& frame) {
  if (frame.body.size() > kMostFrameBytes) {
    fail("a message of {} bytes is too long for the control channel", frame.body.size());
  }
  const auto bytes = static_cast<uint32_t>(frame.body.size());
  out_.append(reinterpret_cast<const char*>(&bytes), sizeof bytes);
  out_.push_back(static_cast<char>(frame.kind));
  out_.append(frame.body);
}

bool FrameSocket::flush() {
  while (!out_.empty()) {
    const ssize_t sent = ::send(fd(), out_.data(), out_.size(), MSG_NOSIGNAL);
    if (sent < 0) {
      if (errno == EINTR) continue;
      return errno == EAGAIN || errno == EWOULDBLOCK;
    }
    out_.erase(0, static_cast<size_t>(sent));
  }
  return true;
}

bool FrameSocket::receive() {
  char buffer[16 << 10];
  while (in_.size() <= kMostFrameBytes) {
    const ssize_t got = ::recv(fd(), buffer, sizeof buffer, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return errno == EAGAIN || errno == EWOULDBLOCK;
    if (got == 0) return false;
    in_.append(buffer, static_cast<size_t>(got));
  }
  return true;  // enough for now
}

std::optional<Frame> FrameSocket::next() {
  uint32_t bytes = 0;
  constexpr size_t kHead = sizeof bytes + 1;
  if (in_.size() < kHead) return std::nullopt;
  std::memcpy(&bytes, in_.data(), sizeof bytes);
  const auto kind = static_cast<uint8_t>(in_[sizeof bytes]);
  if (bytes > kMostFrameBytes || kind > static_cast<uint8_t>(FrameKind::end)) {
    fail("what was received is no message of cuclip's control channel");
  }
  if (in_.size() < kHead + bytes) return std::nullopt;
  Frame frame{static_cast<FrameKind>(kind), in_.substr(kHead, bytes)};
  in_.erase(0, kHead + bytes);
  return frame;
}

void FrameSocket::stop_sending() { ::shutdown(fd(), SHUT_WR); }

bool FrameSocket::drain() {
  in_.clear();
  return receive();
}

void part(std::vector<FrameSocket> sockets, bool wait_for_others, double seconds) {
  const double deadline = seconds_now() + seconds;
  while (seconds_now() < deadline) {
    std::vector<pollfd> waits;
    for (FrameSocket& socket : sockets) {
      bool needed = socket.flush();
      if (needed && !socket.has_to_send()) {
        socket.stop_sending();
        needed = wait_for_others && socket.drain();
      }
      if (!needed) {
        socket = {};
      } else {
        const auto events = static_cast<int16_t>(socket.has_to_send() ? POLLOUT : POLLIN);
        waits.push_back({.fd = socket.fd(), .events = events, .revents = 0});
      }
    }
    std::erase_if(sockets, [](const FrameSocket& socket) { return !socket; });
    if (sockets.empty()) return;
    ::poll(waits.data(), waits.size(), 50);
  }
}

}  // namespace cuclip
