#include "core/file_io.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <mutex>
#include <set>
#include <utility>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

std::string reason() { return std::strerror(errno); }

// The temporary files that exist now. Whoever makes one, removes it or puts it in place holds the mutex.
struct Unfinished {
  std::mutex mutex;
  std::set<std::string> files;
};

// Never destroyed: the process may be ended by a thread of its own while it returns from main.
Unfinished& unfinished() {
  static auto* const all = new Unfinished;
  return *all;
}

constexpr std::string_view kTemporaryMark = ".tmp-";
constexpr size_t kRandomLetters = 6;
constexpr size_t kLongestName = 255;  // bytes, on every usual file system

std::string random_letters() {
  uint64_t bits = 0;
  if (::getrandom(&bits, sizeof(bits), 0) != sizeof(bits)) fail("cannot draw a random number: {}", reason());
  std::string letters;
  for (size_t i = 0; i < kRandomLetters; ++i, bits /= 26) letters += static_cast<char>('a' + bits % 26);
  return letters;
}

// Beside the target; the end of a very long name is left out.
std::filesystem::path temporary_name(const std::filesystem::path& target) {
  const size_t room = kLongestName - kTemporaryMark.size() - kRandomLetters;
  std::string name = target.filename().string().substr(0, room);
  name += kTemporaryMark;
  return target.parent_path() / (name + random_letters());
}

}  // namespace

// Closes (and, unless committed, removes) a temporary file on every way out.
struct TemporaryFile {
  std::filesystem::path path;
  int fd = -1;
  bool committed = false;

  explicit TemporaryFile(const std::filesystem::path& target) {
    struct stat old {};
    const bool replaces = ::stat(target.c_str(), &old) == 0;
    const std::lock_guard lock(unfinished().mutex);
    do {
      path = temporary_name(target);
      // Whoever may not open the old file must not be able to open this one, not even before it has the old
      // one's permissions.
      fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, replaces ? 0600 : 0666);
    } while (fd < 0 && errno == EEXIST);
    if (fd < 0) fail("cannot write {}: {}", target.string(), reason());
    unfinished().files.insert(path);
    // Where the file system has no permissions there are none to keep.
    if (replaces) (void)!::fchmod(fd, old.st_mode & 07777);
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() {
    if (fd >= 0) ::close(fd);
    if (committed) return;
    const std::lock_guard lock(unfinished().mutex);
    ::unlink(path.c_str());
    unfinished().files.erase(path);
  }
  void commit(const std::filesystem::path& target) {
    const std::lock_guard lock(unfinished().mutex);
    if (::rename(path.c_str(), target.c_str()) != 0) fail("cannot write {}: {}", target.string(), reason());
    unfinished().files.erase(path);
    committed = true;
  }
};

namespace {

void write_all(int fd, std::span<const std::byte> bytes, const std::filesystem::path& target) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail("cannot write {}: {}", target.string(), reason());
    if (n == 0) fail("cannot write {}: the system takes no more bytes", target.string());
    bytes = bytes.subspan(static_cast<size_t>(n));
  }
}

std::span<const std::byte> bytes_of(std::string_view text) {
  return std::as_bytes(std::span<const char>(text.data(), text.size()));
}

// The file that a write to `path` makes or replaces: `path`, or what it leads to where it is a symbolic link
// (which need not be there yet). A folder is not replaced, nor is a device.
std::filesystem::path output_file(const std::filesystem::path& path) {
  constexpr int kMaxLinks = 40;  // as the kernel's
  std::filesystem::path file = path;
  struct stat info {};
  for (int links = 0; ::lstat(file.c_str(), &info) == 0; ++links) {
    if (!S_ISLNK(info.st_mode)) {
      if (S_ISREG(info.st_mode)) return file;
      fail("cannot write {}: it is {}, expected a file or nothing there", path.string(),
           S_ISDIR(info.st_mode) ? "a folder" : "not a regular file");
    }
    if (links == kMaxLinks) fail("cannot write {}: too many symbolic links", path.string());
    std::error_code error;
    const std::filesystem::path target = std::filesystem::read_symlink(file, error);
    if (error) fail("cannot write {}: {}", path.string(), error.message());
    file = file.parent_path() / target;  // an absolute target replaces all of it
  }
  return file;
}

struct OpenFile {
  explicit OpenFile(int opened) : fd(opened) {}
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;
  ~OpenFile() {
    if (fd >= 0) ::close(fd);
  }
  int fd;
};

void check_bytes(int64_t bytes, int64_t max_bytes, const std::string& name) {
  CUCLIP_CHECK(bytes <= max_bytes, "cannot read {}: expected at most {} bytes, found more", name, max_bytes);
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

FileStamp stamp_of(const struct ::stat& info) {
  constexpr int64_t kNanoseconds = 1'000'000'000;
  return {.bytes = info.st_size, .mtime_ns = info.st_mtim.tv_sec * kNanoseconds + info.st_mtim.tv_nsec};
}

namespace {

struct stat status_of(const OpenFile& file, const std::filesystem::path& path) {
  struct stat info {};
  CUCLIP_CHECK(::fstat(file.fd, &info) == 0, "cannot read {}: {}", path.string(), reason());
  return info;
}

// A file that read_file takes, as it is before it is read.
struct FileToRead {
  std::unique_ptr<OpenFile> file;
  FileStamp stamp;
};

FileToRead open_to_read(const std::filesystem::path& path, int64_t max_bytes, Pipes pipes) {
  // Opening a pipe waits for its writer, as a reader expects: until then it would seem to be at its
  // end.
  const int wait_or_not = pipes == Pipes::allowed ? 0 : O_NONBLOCK;
  auto file = std::make_unique<OpenFile>(::open(path.c_str(), O_RDONLY | O_CLOEXEC | wait_or_not));
  // "File name too long" puzzles those who did not mean a file's name.
  CUCLIP_CHECK(file->fd >= 0, "cannot read {}: {}", path.string(),
               errno == ENAMETOOLONG ? "the file name is too long" : reason());
  const struct stat info = status_of(*file, path);
  CUCLIP_CHECK(!S_ISDIR(info.st_mode), "cannot read {}: it is a folder, expected a file", path.string());
  const bool pipe = S_ISFIFO(info.st_mode) && pipes == Pipes::allowed;
  CUCLIP_CHECK(S_ISREG(info.st_mode) || pipe, "cannot read {}: it is not a regular file", path.string());
  check_bytes(info.st_size, max_bytes, path.string());
  return {.file = std::move(file), .stamp = stamp_of(info)};
}

}  // namespace

std::string read_file(const std::filesystem::path& path, int64_t max_bytes, Pipes pipes) {
  return read_to_end(open_to_read(path, max_bytes, pipes).file->fd, path.string(), max_bytes);
}

StampedContents read_stamped_file(const std::filesystem::path& path, int64_t max_bytes) {
  const FileToRead open = open_to_read(path, max_bytes, Pipes::refused);
  StampedContents read{.contents = read_to_end(open.file->fd, path.string(), max_bytes), .stamp = open.stamp};
  // The time of a file that is being written may stand still for a moment; its size does not.
  CUCLIP_CHECK(
      stamp_of(status_of(*open.file, path)) == open.stamp && std::ssize(read.contents) == open.stamp.bytes,
      "cannot read {}: it changed while it was read", path.string());
  return read;
}

std::string read_to_end(int fd, const std::string& name, int64_t max_bytes) {
  std::string contents;
  struct stat info {};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size <= max_bytes)
    contents.reserve(static_cast<size_t>(info.st_size));
  for (;;) {
    const std::string some = read_some(fd, name);
    if (some.empty()) return contents;
    check_bytes(std::ssize(contents) + std::ssize(some), max_bytes, name);
    contents += some;
  }
}

std::string read_some(int fd, const std::string& name) {
  std::string buffer(1 << 16, '\0');
  ssize_t n = 0;
  do {
    n = ::read(fd, buffer.data(), buffer.size());
  } while (n < 0 && errno == EINTR);
  CUCLIP_CHECK(n >= 0, "cannot read {}: {}", name,
               errno == EBADF    ? "it is closed"
               : errno == EISDIR ? "it is a folder, expected a file"
                                 : reason());
  buffer.resize(static_cast<size_t>(n));
  return buffer;
}

PendingFile::PendingFile(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& write)
    : target_(output_file(path)), file_(std::make_unique<TemporaryFile>(target_)) {
  write([&](std::span<const std::byte> bytes) { write_all(file_->fd, bytes, path); });
  if (::fsync(file_->fd) != 0) fail("cannot write {}: {}", path.string(), reason());
  const int closed = ::close(std::exchange(file_->fd, -1));
  if (closed != 0) fail("cannot write {}: {}", path.string(), reason());
}

PendingFile::PendingFile(const std::filesystem::path& path, std::string_view contents)
    : PendingFile(path, [&](const ByteSink& sink) { sink(bytes_of(contents)); }) {}

PendingFile::PendingFile(PendingFile&&) noexcept = default;
PendingFile& PendingFile::operator=(PendingFile&&) noexcept = default;
PendingFile::~PendingFile() = default;

void PendingFile::commit() {
  file_->commit(target_);
  sync_folder(target_.parent_path());
}

void write_file_atomic(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& write) {
  PendingFile(path, write).commit();
}

void try_to_write(const std::filesystem::path& path) {
  TemporaryFile trial(output_file(path));
  if (::close(std::exchange(trial.fd, -1)) != 0) fail("cannot write {}: {}", path.string(), reason());
}

void abandon_writes_and_exit(int exit_code) {
  Unfinished& all = unfinished();
  const std::lock_guard lock(all.mutex);  // held to the end: nobody puts a file in place any more
  for (const std::string& file : all.files) ::unlink(file.c_str());
  ::_exit(exit_code);
}

void write_file_atomic(const std::filesystem::path& path, std::string_view contents) {
  PendingFile(path, contents).commit();
}

void append_to_file(const std::filesystem::path& path, std::string_view text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
  if (fd < 0) fail("cannot write {}: {}", path.string(), reason());
  const off_t end = ::lseek(fd, 0, SEEK_END);
  try {
    write_all(fd, bytes_of(text), path);
  } catch (const Error&) {
    (void)!::ftruncate(fd, end);  // at worst a torn line stays, for the reader to drop
    ::close(fd);
    throw;
  }
  if (::close(fd) != 0) fail("cannot write {}: {}", path.string(), reason());
}

void make_folder(const std::filesystem::path& folder, std::string_view what) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  std::error_code unknown;
  if (error && std::filesystem::is_symlink(folder, unknown)) {
    fail(
        "cannot create the {} {}: it is a link to {}, which is not a folder; make that folder, or remove the "
        "link",
        what, folder.string(), std::filesystem::read_symlink(folder, unknown).string());
  }
  if (error) fail("cannot create the {} {}: {}", what, folder.string(), error.message());
}

void sync_folder(const std::filesystem::path& folder) {
  const int fd = ::open(folder.empty() ? "." : folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return;  // one may write into a folder that one may not list
  const bool disk_failed =
      ::fsync(fd) != 0 && (errno == EIO || errno == ENOSPC || errno == EDQUOT);  // others: it cannot
  const std::string why = reason();
  ::close(fd);
  if (disk_failed) fail("cannot write the folder {}: {}", folder.string(), why);
}

bool is_temporary_of(const std::filesystem::path& file, std::string_view name) {
  const std::string found = file.filename().string(), start = std::string(name) + std::string(kTemporaryMark);
  return found.starts_with(start) && found.size() == start.size() + kRandomLetters &&
         std::all_of(found.end() - kRandomLetters, found.end(), [](char c) {
           return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
         });
}

void remove_temporaries(const std::filesystem::path& folder,
                        const std::function<bool(const std::string& name)>& is_ours) {
  std::error_code error;
  std::vector<std::filesystem::path> left;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    const std::string file = entry->path().filename(), name = file.substr(0, file.rfind(kTemporaryMark));
    if (is_temporary_of(file, name) && is_ours(name)) left.push_back(entry->path());
  }
  if (error) fail("cannot list the folder {}: {}", folder.string(), error.message());
  for (const std::filesystem::path& file : left) {
    std::filesystem::remove(file, error);
    if (error) fail("cannot remove {}, left by a killed process: {}", file.string(), error.message());
  }
}

}  // namespace cuclip
