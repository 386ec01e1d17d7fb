#include "tests/support/file_events.h"

#include <unistd.h>

#include <cstring>
#include <stdexcept>

namespace cuclip::test {

FileEvents::FileEvents(const std::string& path, uint32_t kinds)
    : fd_(::inotify_init1(IN_NONBLOCK | IN_CLOEXEC)) {
  if (fd_ < 0 || ::inotify_add_watch(fd_, path.c_str(), kinds) < 0) {
    throw std::runtime_error("cannot watch " + path + ": " + std::strerror(errno));
  }
}

FileEvents::~FileEvents() { ::close(fd_); }

std::vector<std::string> FileEvents::names(uint32_t kind) {
  std::vector<std::string> found;
  char buffer[1 << 16];
  for (ssize_t size; (size = ::read(fd_, buffer, sizeof(buffer))) > 0;) {
    for (ssize_t at = 0; at < size;) {
      inotify_event event;
      std::memcpy(&event, buffer + at, sizeof(event));
      if ((event.mask & IN_Q_OVERFLOW) != 0) throw std::runtime_error("more events than the system keeps");
      if ((event.mask & kind) != 0) found.emplace_back(event.len > 0 ? buffer + at + sizeof(event) : "");
      at += static_cast<ssize_t>(sizeof(event)) + event.len;
    }
  }
  return found;
}

int64_t FileEvents::count(uint32_t kind) { return std::ssize(names(kind)); }

}  // namespace cuclip::test
