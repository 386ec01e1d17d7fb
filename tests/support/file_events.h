// What happens to a file or in a folder while a test looks on.
#pragma once

#include <sys/inotify.h>

#include <cstdint>
#include <string>
#include <vector>

namespace cuclip::test {

/// The system's own account (inotify). Equal events in a row may be reported as one.
class FileEvents {
 public:
  /// `kinds` are IN_OPEN and the like, joined with |.
  FileEvents(const std::string& path, uint32_t kinds);
  ~FileEvents();
  FileEvents(const FileEvents&) = delete;
  FileEvents& operator=(const FileEvents&) = delete;

  /// The names in the folder that events since the last call are about; empty ones for the file itself.
  std::vector<std::string> names(uint32_t kind);
  /// How many events of a kind there were since the last call.
  int64_t count(uint32_t kind);

 private:
  int fd_;
};

}  // namespace cuclip::test
