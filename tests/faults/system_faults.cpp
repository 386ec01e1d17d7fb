// A library to preload into a program that is tested: the system calls that touch a part of the file system
// are listed, and the n-th of them fails or is the last thing that the program does. Told by the environment:
//
//   FAULT_UNDER  counts calls on files whose absolute path contains this
//   FAULT_CALLS  counts these kinds of calls, separated by commas: create mkdir open write fsync close rename
//                exchange unlink truncate read map ("open" and "read" are reading, "map" is fetching a mapped
//                file's pages; "close" is of files that were written)
//   FAULT_LOG    file that each counted call is written to, a line "KIND PATH" or "rename FROM -> TO"
//   FAULT_AT     number of the call that goes wrong, the first is 1; nothing goes wrong without
//   FAULT_HOW    "kill": half of a write is done, then the process is gone; "ENOSPC": half of a write is
//                done, that call and all that follow fail; another errno's name: the call fails, once;
//                "rewrite", "vanish": somebody else writes the file's last byte anew, or removes the file,
//                and the call is done
//   FAULT_EVER   set: all that follow fail too
//
// Calls that the C library makes within itself (fopen, opendir) are not seen: cuclip writes with none of
// them.
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

const char* setting(const char* name) {
  const char* value = ::getenv(name);
  return value != nullptr ? value : "";
}

int error_named(const std::string& name) {
  if (name == "ENOSPC") return ENOSPC;
  if (name == "EDQUOT") return EDQUOT;
  if (name == "EROFS") return EROFS;
  if (name == "EACCES") return EACCES;
  if (name == "EINVAL") return EINVAL;
  return EIO;
}

struct Plan {
  std::string under = setting("FAULT_UNDER"), calls = std::string(",") + setting("FAULT_CALLS") + ",";
  std::string how = setting("FAULT_HOW");
  long at = std::atol(setting("FAULT_AT"));
  bool for_ever = how == "ENOSPC" || *setting("FAULT_EVER") != '\0';
  int error = error_named(how);
  int log = *setting("FAULT_LOG") == '\0'
                ? -1
                : static_cast<int>(::syscall(SYS_openat, AT_FDCWD, setting("FAULT_LOG"),
                                             O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  std::atomic<long> count{0};
};

Plan& plan() {
  static Plan* plan = new Plan;  // outlives every destructor that writes
  return *plan;
}

// What somebody else does to a file meanwhile.
void meddle(const std::string& how, const std::string& path) {
  if (how == "vanish") ::syscall(SYS_unlink, path.c_str());
  if (how != "rewrite") return;
  const auto fd = static_cast<int>(::syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDWR | O_CLOEXEC));
  const off_t last = ::lseek(fd, -1, SEEK_END);
  char byte = 0;
  if (::syscall(SYS_pread64, fd, &byte, 1, last) == 1) (void)!::syscall(SYS_pwrite64, fd, &byte, 1, last);
  ::syscall(SYS_close, fd);
}

enum class Fate { done, fails, last };

// What happens to a call of this kind on this file; an error is in errno.
Fate fate_of(const char* kind, const std::string& path, const std::string& more = "") {
  Plan& p = plan();
  if (p.under.empty() || path.find(p.under) == std::string::npos) return Fate::done;
  if (p.calls.find("," + std::string(kind) + ",") == std::string::npos) return Fate::done;
  const int saved = errno;
  const long number = ++p.count;
  if (p.log >= 0) {
    const std::string line = std::string(kind) + " " + path + more + "\n";
    (void)!::syscall(SYS_write, p.log, line.data(), line.size());
  }
  errno = saved;
  if (p.at == 0 || number < p.at || (number > p.at && !p.for_ever)) return Fate::done;
  if (p.how == "kill") return Fate::last;
  if (p.how == "rewrite" || p.how == "vanish") {
    meddle(p.how, path);
    errno = saved;
    return Fate::done;
  }
  errno = p.error;
  return Fate::fails;
}

[[noreturn]] void die() {
  ::kill(::getpid(), SIGKILL);
  for (;;) ::pause();
}

// For calls that happen whole or not at all.
bool fails(const char* kind, const std::string& path, const std::string& more = "") {
  const Fate fate = fate_of(kind, path, more);
  if (fate == Fate::last) die();
  return fate == Fate::fails;
}

std::string path_of(int fd) {
  char target[PATH_MAX];
  const std::string link = "/proc/self/fd/" + std::to_string(fd);
  const ssize_t size = ::readlink(link.c_str(), target, sizeof(target));
  return size > 0 ? std::string(target, static_cast<size_t>(size)) : std::string();
}

std::string path_at(int folder, const char* path) {
  if (path[0] == '/') return path;
  char here[PATH_MAX];
  const std::string base = folder != AT_FDCWD                        ? path_of(folder)
                           : ::getcwd(here, sizeof(here)) != nullptr ? std::string(here)
                                                                     : std::string();
  return base + "/" + path;
}

bool written(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  return flags >= 0 && (flags & O_ACCMODE) != O_RDONLY;
}

template <typename Function>
Function* next(const char* name) {
  return reinterpret_cast<Function*>(::dlsym(RTLD_NEXT, name));
}

int open_at(int folder, const char* path, int flags, mode_t mode) {
  const int saved = errno;
  if (fails((flags & O_CREAT) != 0 ? "create" : "open", path_at(folder, path))) return -1;
  errno = saved;
  return static_cast<int>(::syscall(SYS_openat, folder, path, flags, mode));
}

// The file that this thread mapped last: its pages are fetched next.
struct Mapping {
  void* address = nullptr;
  std::string path;
};
Mapping& last_mapping() {
  static thread_local Mapping mapping;
  return mapping;
}
constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ

// If this is the call that goes wrong, half of the bytes; `write` writes that many of them.
template <typename Write>
ssize_t faulty_write(int fd, size_t size, Write write) {
  const Fate fate = fate_of("write", path_of(fd));
  if (fate == Fate::done) return write(size);
  const bool first = plan().count.load() == plan().at;
  if (fate == Fate::last) {
    if (size > 1) (void)!write(size / 2);
    die();
  }
  const int error = errno;
  if (error == ENOSPC && first && size > 1) return write(size / 2);
  errno = error;
  return -1;
}

}  // namespace

#define CUCLIP_MODE                   \
  mode_t mode = 0;                    \
  if ((flags & O_CREAT) != 0) {       \
    va_list arguments;                \
    va_start(arguments, flags);       \
    mode = va_arg(arguments, mode_t); \
    va_end(arguments);                \
  }

extern "C" {

int open(const char* path, int flags, ...) {
  CUCLIP_MODE
  return open_at(AT_FDCWD, path, flags, mode);
}
int open64(const char* path, int flags, ...) {
  CUCLIP_MODE
  return open_at(AT_FDCWD, path, flags, mode);
}
int openat(int folder, const char* path, int flags, ...) {
  CUCLIP_MODE
  return open_at(folder, path, flags, mode);
}
int openat64(int folder, const char* path, int flags, ...) {
  CUCLIP_MODE
  return open_at(folder, path, flags, mode);
}

ssize_t write(int fd, const void* bytes, size_t size) {
  return faulty_write(fd, size, [&](size_t n) { return ::syscall(SYS_write, fd, bytes, n); });
}
ssize_t pwrite(int fd, const void* bytes, size_t size, off_t at) {
  return faulty_write(fd, size, [&](size_t n) { return ::syscall(SYS_pwrite64, fd, bytes, n, at); });
}
ssize_t pwrite64(int fd, const void* bytes, size_t size, off64_t at) { return pwrite(fd, bytes, size, at); }
ssize_t writev(int fd, const iovec* parts, int count) {
  return faulty_write(fd, 0, [&](size_t) { return ::syscall(SYS_writev, fd, parts, count); });
}

ssize_t read(int fd, void* bytes, size_t size) {
  return fails("read", path_of(fd)) ? -1 : ::syscall(SYS_read, fd, bytes, size);
}
ssize_t pread(int fd, void* bytes, size_t size, off_t at) {
  return fails("read", path_of(fd)) ? -1 : ::syscall(SYS_pread64, fd, bytes, size, at);
}
ssize_t pread64(int fd, void* bytes, size_t size, off64_t at) { return pread(fd, bytes, size, at); }

void* mmap(void* address, size_t size, int protection, int flags, int fd, off_t offset) noexcept {
  auto* result = reinterpret_cast<void*>(::syscall(SYS_mmap, address, size, protection, flags, fd, offset));
  if (fd >= 0 && result != MAP_FAILED) last_mapping() = {result, path_of(fd)};
  return result;
}
void* mmap64(void* address, size_t size, int protection, int flags, int fd, off64_t offset) noexcept {
  return mmap(address, size, protection, flags, fd, offset);
}
int madvise(void* address, size_t size, int advice) noexcept {
  const bool fetched = advice == kPopulateRead && address == last_mapping().address;
  if (fetched && fails("map", last_mapping().path)) return -1;
  return static_cast<int>(::syscall(SYS_madvise, address, size, advice));
}

// There is no need to wait for the disk: nobody cuts the power.
int fsync(int fd) { return fails("fsync", path_of(fd)) ? -1 : 0; }
int fdatasync(int fd) { return fails("fsync", path_of(fd)) ? -1 : 0; }
int ftruncate(int fd, off_t size) noexcept {
  return fails("truncate", path_of(fd)) ? -1 : static_cast<int>(::syscall(SYS_ftruncate, fd, size));
}
int close(int fd) {
  const bool failed = written(fd) && fails("close", path_of(fd));
  const int error = errno;
  const int result = static_cast<int>(::syscall(SYS_close, fd));  // closed, whatever it says
  if (!failed) return result;
  errno = error;
  return -1;
}

int rename(const char* from, const char* to) noexcept {
  if (fails("rename", path_at(AT_FDCWD, from), " -> " + path_at(AT_FDCWD, to))) return -1;
  return static_cast<int>(::syscall(SYS_rename, from, to));
}
int renameat2(int from_folder, const char* from, int to_folder, const char* to, unsigned flags) noexcept {
  const char* kind = (flags & RENAME_EXCHANGE) != 0 ? "exchange" : "rename";
  if (fails(kind, path_at(from_folder, from), " -> " + path_at(to_folder, to))) return -1;
  return static_cast<int>(::syscall(SYS_renameat2, from_folder, from, to_folder, to, flags));
}
int mkdir(const char* path, mode_t mode) noexcept {
  return fails("mkdir", path_at(AT_FDCWD, path)) ? -1 : static_cast<int>(::syscall(SYS_mkdir, path, mode));
}
int unlink(const char* path) noexcept {
  return fails("unlink", path_at(AT_FDCWD, path)) ? -1 : static_cast<int>(::syscall(SYS_unlink, path));
}
int unlinkat(int folder, const char* path, int flags) noexcept {
  if (fails("unlink", path_at(folder, path))) return -1;
  return static_cast<int>(::syscall(SYS_unlinkat, folder, path, flags));
}
int rmdir(const char* path) noexcept {
  return fails("unlink", path_at(AT_FDCWD, path)) ? -1 : static_cast<int>(::syscall(SYS_rmdir, path));
}
int remove(const char* path) noexcept {
  static auto* const real = next<int(const char*)>("remove");
  return fails("unlink", path_at(AT_FDCWD, path)) ? -1 : real(path);
}
}
