// One process at a time in a folder that it writes several files into.
#pragma once

#include <filesystem>
#include <string>

namespace cuclip {

enum class IfLocked { refuse, wait };

class FileLock {
 public:
  /// Locks a folder, or a file, which is made if it is not there, against every other FileLock until this one
  /// is destroyed or the process ends, however it ends (flock(2)). `name` is what messages call it ("the run
  /// folder runs/mine"). Throws InputError if another process has the lock, unless one is to wait for it, and
  /// Error naming the system's reason if nothing can be locked there.
  FileLock(const std::filesystem::path& path, const std::string& name, IfLocked locked = IfLocked::refuse);
  ~FileLock();
  FileLock(const FileLock&) = delete;
  FileLock& operator=(const FileLock&) = delete;

 private:
  int fd_ = -1;
};

}  // namespace cuclip
