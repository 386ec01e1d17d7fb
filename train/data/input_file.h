// A file read at any position, by several threads at a time.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

namespace cuclip {

class InputFile {
 public:
  /// Throws InputError naming the file and the system's reason, also for a folder.
  explicit InputFile(const std::filesystem::path& path);
  ~InputFile();
  InputFile(const InputFile&) = delete;
  InputFile& operator=(const InputFile&) = delete;

  int64_t size() const { return size_; }

  /// Fills `into`, starting at `offset`; returns how many bytes there were: fewer only at the end of the
  /// file.
  size_t read_at(int64_t offset, std::span<char> into) const;

  /// Exactly `size` bytes. Throws InputError when the file has fewer.
  std::string read_exactly(int64_t offset, int64_t size) const;

 private:
  std::string name_;
  int fd_;
  int64_t size_ = 0;
};

}  // namespace cuclip
