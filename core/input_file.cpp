#include "core/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/common/check.h"

namespace cuclip {

InputFile::InputFile(const std::filesystem::path& path) : name_(path.string()) {
  // Without O_NONBLOCK, opening a named pipe would wait for ever for a writer.
  fd_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  CUCLIP_CHECK(fd_ >= 0, "cannot read {}: {}", name_, std::strerror(errno));
  struct stat info {};
  const bool known = ::fstat(fd_, &info) == 0;
  if (!known || !S_ISREG(info.st_mode)) {
    ::close(fd_);
    fail_input("cannot read {}: it is {}", name_,
               known && S_ISDIR(info.st_mode) ? "a folder, expected a file" : "not a regular file");
  }
  stamp_ = stamp_of(info);
}

InputFile::InputFile(const std::filesystem::path& path, const FileStamp& expected) : InputFile(path) {
  stamp_ = expected;
  check_unchanged();
}

InputFile::~InputFile() { ::close(fd_); }

size_t InputFile::read_at(int64_t offset, std::span<char> into) const {
  size_t done = 0;
  while (done < into.size()) {
    const ssize_t n = ::pread(fd_, into.data() + done, into.size() - done,
                              static_cast<off_t>(offset) + static_cast<off_t>(done));
    if (n < 0 && errno == EINTR) continue;
    CUCLIP_CHECK(n >= 0, "cannot read {}: {}", name_, std::strerror(errno));
    if (n == 0) break;
    done += static_cast<size_t>(n);
  }
  return done;
}

std::string InputFile::read_exactly(int64_t offset, int64_t size) const {
  CUCLIP_CHECK(offset >= 0 && size >= 0 && size <= this->size() && offset <= this->size() - size,
               "cannot read {}: expected {} bytes at byte {}, the file has {}", name_, size, offset,
               this->size());
  std::string bytes(static_cast<size_t>(size), '\0');
  read_exactly(offset, bytes);
  return bytes;
}

void InputFile::read_exactly(int64_t offset, std::span<char> into) const {
  const size_t got = read_at(offset, into);
  CUCLIP_CHECK(got == into.size(), "cannot read {}: expected {} bytes at byte {}, found {}", name_,
               into.size(), offset, got);
}

void InputFile::check_unchanged() const {
  struct stat info {};
  CUCLIP_CHECK(::fstat(fd_, &info) == 0 && stamp_of(info) == stamp_,
               "cannot read {}: it changed while it was read", name_);
}

}  // namespace cuclip
