#include "train/run_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cmath>
#include <cstring>
#include <sstream>

#include "core/file_io.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {
constexpr const char* kLogs[] = {"metrics.jsonl", "eval.jsonl"};
}

RunFolder::RunFolder(const std::filesystem::path& path) : path_(path) {
  std::error_code error;
  std::filesystem::create_directories(checkpoints(), error);
  if (error) fail("cannot create the run folder {}: {}", path.string(), error.message());
  const std::filesystem::path lock_file = path / "lock";
  lock_ = ::open(lock_file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (lock_ < 0) fail("cannot write to the run folder {}: {}", path.string(), std::strerror(errno));
  if (::flock(lock_, LOCK_EX | LOCK_NB) != 0) {
    ::close(lock_);
    fail_input("the run folder {} is in use by another process; choose another --out", path.string());
  }
}

RunFolder::~RunFolder() { ::close(lock_); }

bool RunFolder::has_checkpoints() const {
  return std::filesystem::exists(path_ / "latest") || !std::filesystem::is_empty(checkpoints());
}

void RunFolder::require_space(int64_t bytes) const {
  std::error_code error;
  const std::filesystem::space_info space = std::filesystem::space(path_, error);
  if (error || static_cast<int64_t>(space.available) >= bytes) return;  // some file systems cannot tell
  fail("{}: a checkpoint takes {} MB, only {} MB are free on that disk", path_.string(), bytes / 1'000'000,
       space.available / 1'000'000);
}

void RunFolder::append(const char* file, const nlohmann::ordered_json& line) const {
  const std::filesystem::path path = path_ / file;
  const std::string text = line.dump() + "\n";
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  if (fd < 0) fail("cannot write {}: {}", path.string(), std::strerror(errno));
  const ssize_t written = ::write(fd, text.data(), text.size());
  const std::string why = written < 0 ? std::strerror(errno) : "the disk is full";
  ::close(fd);
  if (written != static_cast<ssize_t>(text.size())) fail("cannot write {}: {}", path.string(), why);
}

void RunFolder::rewind(int64_t step) const {
  for (const char* name : kLogs) {
    const std::filesystem::path path = path_ / name;
    if (!std::filesystem::exists(path)) continue;
    std::istringstream lines(read_file(path));
    std::string kept;
    for (std::string line; std::getline(lines, line);) {
      const auto json = nlohmann::json::parse(line, nullptr, false);  // a torn last line is dropped
      if (json.is_object() && json.value("step", int64_t{0}) <= step) kept += line + "\n";
    }
    write_file_atomic(path, kept);
  }
}

nlohmann::ordered_json finite_or_null(double value) {
  return std::isfinite(value) ? nlohmann::ordered_json(value) : nlohmann::ordered_json(nullptr);
}

}  // namespace cuclip
