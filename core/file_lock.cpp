#include "core/file_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "core/file_io.h"
#include "kernels/common/check.h"

namespace cuclip {

FileLock::FileLock(const std::filesystem::path& path, const std::string& name, IfLocked locked) {
  const bool folder = is_folder(path);
  fd_ = ::open(path.c_str(), (folder ? O_RDONLY | O_DIRECTORY : O_RDWR | O_CREAT) | O_CLOEXEC, 0666);
  if (fd_ < 0) fail("cannot {} {}: {}", folder ? "open" : "write to", name, std::strerror(errno));
  const int how = LOCK_EX | (locked == IfLocked::wait ? 0 : LOCK_NB);
  int why = 0;
  do {
    if (::flock(fd_, how) == 0) return;
    why = errno;
  } while (why == EINTR);  // a signal ended the waiting
  ::close(fd_);
  if (why == EWOULDBLOCK) fail_input("{} is in use by another process; choose another --out", name);
  fail("cannot lock {}: {}", name, std::strerror(why));
}

FileLock::~FileLock() { ::close(fd_); }

}  // namespace cuclip
