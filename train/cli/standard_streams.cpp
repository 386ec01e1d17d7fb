#include "train/cli/standard_streams.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdio>

namespace cuclip {
namespace {

ssize_t write_or_drop(void*, const char* bytes, size_t size) {
  for (size_t done = 0; done < size;) {
    const ssize_t n = ::write(STDERR_FILENO, bytes + done, size - done);
    if (n <= 0) break;
    done += static_cast<size_t>(n);
  }
  return static_cast<ssize_t>(size);
}

}  // namespace

void secure_standard_streams() {
  // Reading the closed standard input stays an error: it is not an empty one.
  if (::fcntl(STDIN_FILENO, F_GETFD) < 0) ::open("/dev/null", O_WRONLY);
  // open() takes the lowest free number. A descriptor opened only for reading refuses what is written to it.
  for (int fd = ::open("/dev/null", O_RDONLY); fd >= 0; fd = ::open("/dev/null", O_RDONLY)) {
    if (fd <= STDERR_FILENO) continue;
    ::close(fd);
    break;
  }
  // Streams throw, or fail for good, when a write fails; writes to this one never do.
  std::FILE* lenient = ::fopencookie(
      nullptr, "w", {.read = nullptr, .write = write_or_drop, .seek = nullptr, .close = nullptr});
  if (lenient == nullptr) return;
  std::setvbuf(lenient, nullptr, _IONBF, 0);
  stderr = lenient;
}

}  // namespace cuclip
