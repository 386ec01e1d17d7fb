// What write_file_atomic leaves: permissions, links, and what is not a file. What is read from a file that
// changes.
#include "core/file_io.h"

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <functional>
#include <utility>

#include "kernels/common/check.h"
#include "tests/support/command.h"

namespace {
mode_t mode_before_change = 0;         // of the file whose permissions were set last
std::function<void()> before_reading;  // called once
}  // namespace

// Instead of the C library's.
extern "C" int fchmod(int fd, mode_t mode) noexcept {
  struct stat info {};
  if (::fstat(fd, &info) == 0) mode_before_change = info.st_mode & 07777;
  return static_cast<int>(::syscall(SYS_fchmod, fd, mode));
}

extern "C" ssize_t read(int fd, void* bytes, size_t size) {
  if (const auto change = std::exchange(before_reading, {})) change();
  return ::syscall(SYS_read, fd, bytes, size);
}

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

mode_t mode_of(const fs::path& path) {
  struct stat info {};
  REQUIRE(::lstat(path.c_str(), &info) == 0);
  return info.st_mode & 07777;
}

class Umask {
 public:
  explicit Umask(mode_t mask) : before_(::umask(mask)) {}
  ~Umask() { ::umask(before_); }
  Umask(const Umask&) = delete;
  Umask& operator=(const Umask&) = delete;

 private:
  mode_t before_;
};

size_t count(const fs::path& folder) {
  return static_cast<size_t>(std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

TEST_CASE("a new file has the permissions that the umask leaves, a replaced one keeps its own") {
  const TemporaryFolder folder;
  for (const auto& [mask, mode] : {std::pair{0022, 0644}, {0077, 0600}, {0002, 0664}, {0000, 0666}}) {
    const Umask umask(static_cast<mode_t>(mask));
    const fs::path file = folder / ("new" + std::to_string(mask)),
                   log = folder / ("log" + std::to_string(mask));
    write_file_atomic(file, "1");
    append_to_file(log, "1");
    CHECK(mode_of(file) == static_cast<mode_t>(mode));
    CHECK(mode_of(log) == static_cast<mode_t>(mode));
    REQUIRE(::chmod(file.c_str(), 0640) == 0);
    write_file_atomic(file, "2");
    CHECK(mode_of(file) == 0640);
    CHECK(read_file(file) == "2");
  }
}

TEST_CASE("what replaces a private file is private from the start") {
  const TemporaryFolder folder;
  const Umask umask(0);
  const fs::path file = folder.write("file", "old");
  REQUIRE(::chmod(file.c_str(), 0604) == 0);
  mode_before_change = 0;
  write_file_atomic(file, "new");
  CHECK(mode_before_change == 0600);
  CHECK(mode_of(file) == 0604);
}

TEST_CASE("a symbolic link is written through, also one whose file is not there yet") {
  const TemporaryFolder folder;
  folder.write("below/file", "old");
  fs::create_symlink("below/file", folder / "relative");
  fs::create_symlink(folder / "relative", folder / "second");
  fs::create_symlink("below/new", folder / "dangling");
  write_file_atomic(folder / "second", "new");
  write_file_atomic(folder / "dangling", "made");
  for (const char* link : {"relative", "second", "dangling"}) CHECK(fs::is_symlink(folder / link));
  CHECK(read_file(folder / "below/file") == "new");
  CHECK(read_file(folder / "below/new") == "made");
  fs::create_symlink("circle", folder / "circle");
  CHECK_THROWS_WITH(write_file_atomic(folder / "circle", "x"), Contains("circle: too many symbolic links"));
  CHECK(count(folder / "below") == 2);
}

TEST_CASE("folders, pipes and devices are not replaced by a file") {
  const TemporaryFolder folder;
  fs::create_directories(folder / "folder");
  REQUIRE(::mkfifo((folder / "pipe").c_str(), 0600) == 0);
  fs::create_symlink("/dev/null", folder / "null");
  CHECK_THROWS_WITH(write_file_atomic(folder / "folder", "x"), Contains("folder: it is a folder"));
  CHECK_THROWS_WITH(write_file_atomic(folder / "pipe", "x"), Contains("pipe: it is not a regular file"));
  CHECK_THROWS_WITH(write_file_atomic(folder / "null", "x"), Contains("null: it is not a regular file"));
  CHECK(fs::is_fifo(folder / "pipe"));
  CHECK(fs::is_symlink(folder / "null"));
  CHECK(count(folder.path()) == 3);
}

TEST_CASE("names with blanks, line feeds and of any length are written") {
  const TemporaryFolder folder;
  for (const std::string& name :
       {std::string("a b"), std::string("a\nb"), std::string(255, 'x'), std::string("-")}) {
    write_file_atomic(folder / name, name);
    CHECK(read_file(folder / name) == name);
  }
  CHECK(count(folder.path()) == 4);
  CHECK_THROWS_WITH(write_file_atomic(folder / std::string(256, 'x'), "x"),
                    Contains("cannot write") && Contains(std::string(256, 'x') + ": "));
}

TEST_CASE("an error in the middle of writing leaves the old file and nothing else") {
  const TemporaryFolder folder;
  folder.write("file", "old");
  const auto write_half = [](const ByteSink& sink) {
    const std::byte bytes[3] = {};
    sink(bytes);
    throw Error("half");
  };
  CHECK_THROWS_WITH(write_file_atomic(folder / "file", write_half), "half");
  CHECK(read_file(folder / "file") == "old");
  CHECK(count(folder.path()) == 1);
}

TEST_CASE("a temporary file is told from others by its name") {
  CHECK(is_temporary_of("run/latest.tmp-abcxyz", "latest"));
  for (const char* other : {"latest", "latest.tmp-", "latest.tmp-abcxy", "latest.tmp-abcxyzz",
                            "latest.tmp-abc.yz", "my-latest.tmp-abcxyz", "latest.tmp-abcxyz.tmp-abcxyz"})
    CHECK_FALSE(is_temporary_of(other, "latest"));
}

TEST_CASE("a file that changes while it is read is refused, one that is replaced is read as it was") {
  const TemporaryFolder folder;
  const fs::path path = folder.write("x", "some words");
  const auto old = fs::file_time_type::clock::now() - std::chrono::hours(1);
  fs::last_write_time(path, old);
  struct stat info {};
  REQUIRE(::stat(path.c_str(), &info) == 0);
  const StampedContents read = read_stamped_file(path);
  CHECK(read.contents == "some words");
  CHECK(read.stamp == stamp_of(info));
  CHECK(read.stamp.bytes == 10);
  CHECK(read.stamp.mtime_ns == info.st_mtim.tv_sec * 1'000'000'000 + info.st_mtim.tv_nsec);

  const auto check_refused = [&](const std::function<void()>& change) {
    before_reading = change;
    CHECK_THROWS_WITH(read_stamped_file(path),
                      Contains(path.string()) && Contains("changed while it was read"));
    CHECK_FALSE(before_reading);
  };
  const auto overwrite = [&](const std::string& words) { std::ofstream(path) << words; };
  check_refused([&] { overwrite("Some words"); });  // as long as before
  check_refused([&] { append_to_file(path, "!"); });
  for (const char* words : {"some more words", "words", ""}) {
    INFO(words);
    overwrite("some words");
    fs::last_write_time(path, old);
    check_refused([&] {
      overwrite(words);
      fs::last_write_time(path, old);  // the size tells by itself
    });
  }

  folder.write("x", "some words");
  before_reading = [&] { write_file_atomic(path, "other words"); };
  CHECK(read_stamped_file(path).contents == "some words");
  before_reading = [&] { fs::remove(path); };
  CHECK(read_stamped_file(path).contents == "other words");
  CHECK_THROWS_WITH(read_stamped_file(path), Contains("No such file"));
  CHECK_THROWS_WITH(read_stamped_file(folder.path()), Contains("folder"));
  CHECK_THROWS_WITH(read_stamped_file("/dev/zero"), Contains("regular file"));
  CHECK_THROWS_WITH(read_stamped_file(folder.write("x", "abc"), 2), Contains("at most 2 bytes"));
}

}  // namespace
}  // namespace cuclip::test
