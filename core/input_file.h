// A file read at any position, by several threads at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "core/file_io.h"

namespace cuclip {

class InputFile {
 public:
  /// Throws InputError naming the file and the system's reason, also for a folder.
  explicit InputFile(const std::filesystem::path& path);
  /// The same for a file that was read before: throws InputError also when it is no longer as `expected`.
  InputFile(const std::filesystem::path& path, const FileStamp& expected);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  const std::string& name() const { return name_; }
  int64_t size() const { return stamp_.bytes; }
  const FileStamp& stamp() const { return stamp_; }

  /// Fills `into`, starting at `offset`; returns how many bytes there were: fewer only at the end of the
  /// file.
  size_t read_at(int64_t offset, std::span<char> into) const;

  /// Exactly `size` bytes. Throws InputError when the file has fewer.
  std::string read_exactly(int64_t offset, int64_t size) const;
  void read_exactly(int64_t offset, std::span<char> into) const;

  /// Throws InputError when the file is no longer what it was when it was opened. What was read by then is of
  /// one version, as far as size and time tell.
  void check_unchanged() const;

 private:
  std::string name_;
  int fd_;
  FileStamp stamp_;
};

}  // namespace cuclip
