#include "tests/support/command.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <system_error>

#include "core/file_io.h"
#include "tests/support/paths.h"

extern char** environ;

namespace cuclip::test {
namespace {

void check_system(int error, const std::string& what) {
  if (error != 0) throw std::system_error(error, std::generic_category(), what);
}

int wait_for(pid_t child) {
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) check_system(errno, "waitpid");
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

}  // namespace

TemporaryFolder::TemporaryFolder() {
  std::string pattern = std::filesystem::temp_directory_path() / "cuclip-test-XXXXXX";
  if (!::mkdtemp(pattern.data())) check_system(errno, "mkdtemp " + pattern);
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

std::filesystem::path TemporaryFolder::write(const std::string& name, const std::string& contents) const {
  const std::filesystem::path path = path_ / name;
  std::filesystem::create_directories(path.parent_path());
  write_file_atomic(path, contents);
  return path;
}

CommandResult run_program(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& out_path) {
  const TemporaryFolder folder;
  const std::string out = out_path.empty() ? (folder / "out").string() : out_path;
  const std::string err = (folder / "err").string();
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);

  posix_spawn_file_actions_t actions;
  check_system(posix_spawn_file_actions_init(&actions), "posix_spawn");
  posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_addopen(&actions, STDOUT_FILENO, out.c_str(), O_WRONLY | O_CREAT, 0644);
  posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, err.c_str(), O_WRONLY | O_CREAT, 0644);
  pid_t child = 0;
  const int error = posix_spawn(&child, program.c_str(), &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  check_system(error, "cannot run " + program);

  CommandResult result;
  result.exit_code = wait_for(child);
  if (out_path.empty()) result.out = read_file(out);
  result.err = read_file(err);
  return result;
}

CommandResult run_cuclip(const std::vector<std::string>& arguments, const std::string& out_path) {
  return run_program(cuclip_executable(), arguments, out_path);
}

}  // namespace cuclip::test
