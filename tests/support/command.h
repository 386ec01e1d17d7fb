// Runs the built executable as a user would, and temporary folders for it to work in.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace cuclip::test {

/// An empty folder that vanishes with the object.
class TemporaryFolder {
 public:
  TemporaryFolder();
  ~TemporaryFolder();
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }
  /// Writes a file below the folder, making the folders on the way; returns its path.
  std::filesystem::path write(const std::string& name, const std::string& contents) const;

 private:
  std::filesystem::path path_;
};

struct CommandResult {
  int exit_code = -1;  // -signal if it was killed
  std::string out, err;
};

/// Runs the program at this path (no shell, no PATH) with these arguments and waits for it. Where
/// `out_path` is given, its standard output goes there instead of into the result.
CommandResult run_program(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& out_path = "");

/// The cuclip that was built with the tests.
CommandResult run_cuclip(const std::vector<std::string>& arguments, const std::string& out_path = "");

}  // namespace cuclip::test
