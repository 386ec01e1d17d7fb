#include "core/file_io.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

std::string reason() { return std::strerror(errno); }

// Closes (and, unless committed, removes) a temporary file on every way out.
struct TemporaryFile {
  std::filesystem::path path;
  int fd = -1;
  bool committed = false;

  explicit TemporaryFile(const std::filesystem::path& target) {
    std::string pattern = target.string() + ".tmp-XXXXXX";
    fd = ::mkostemp(pattern.data(), O_CLOEXEC);
    if (fd < 0) fail("cannot write {}: {}", target.string(), reason());
    path = pattern;
    ::fchmod(fd, 0644);
  }
  ~TemporaryFile() {
    if (fd >= 0) ::close(fd);
    if (!committed) ::unlink(path.c_str());
  }
};

void write_all(int fd, const std::byte* data, size_t size, const std::filesystem::path& target) {
  while (size > 0) {
    const ssize_t n = ::write(fd, data, size);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write {}: {}", target.string(), reason());
    data += n;
    size -= static_cast<size_t>(n);
  }
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) fail("cannot open folder {}: {}", folder.string(), reason());
  ::fsync(fd);  // some file systems refuse this for folders; the rename itself has succeeded
  ::close(fd);
}

}  // namespace

bool path_exists(const std::filesystem::path& path) {
  std::error_code unknown;
  return std::filesystem::exists(path, unknown);
}

bool is_folder(const std::filesystem::path& path) {
  std::error_code unknown;
  return std::filesystem::is_directory(path, unknown);
}

std::string read_file(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  // "File name too long" puzzles those who did not mean a file's name.
  CUCLIP_CHECK(fd >= 0, "cannot read {}: {}", path.string(),
               errno == ENAMETOOLONG ? "no file has so long a name" : reason());
  struct stat info {};
  ::fstat(fd, &info);
  if (S_ISDIR(info.st_mode)) {
    ::close(fd);
    fail_input("cannot read {}: it is a folder, expected a file", path.string());
  }
  std::string contents;
  contents.reserve(static_cast<size_t>(info.st_size));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t n = ::read(fd, buffer, sizeof(buffer));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) {
      const std::string why = reason();
      ::close(fd);
      fail_input("cannot read {}: {}", path.string(), why);
    }
    if (n == 0) break;
    contents.append(buffer, static_cast<size_t>(n));
  }
  ::close(fd);
  return contents;
}

void write_file_atomic(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& write) {
  TemporaryFile file(path);
  write([&](std::span<const std::byte> bytes) { write_all(file.fd, bytes.data(), bytes.size(), path); });
  if (::fsync(file.fd) != 0) fail("cannot write {}: {}", path.string(), reason());
  const int closed = ::close(file.fd);
  file.fd = -1;
  if (closed != 0) fail("cannot write {}: {}", path.string(), reason());
  if (::rename(file.path.c_str(), path.c_str()) != 0) fail("cannot write {}: {}", path.string(), reason());
  file.committed = true;
  sync_folder(path.parent_path());
}

void write_file_atomic(const std::filesystem::path& path, std::string_view contents) {
  write_file_atomic(path, [&](const ByteSink& sink) {
    sink(std::as_bytes(std::span<const char>(contents.data(), contents.size())));
  });
}

}  // namespace cuclip
