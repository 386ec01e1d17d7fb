#include "tests/support/background_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <stdexcept>
#include <thread>

#include "core/file_io.h"

namespace cuclip::test {

BackgroundProcess::BackgroundProcess(const std::vector<std::string>& command,
                                     const std::function<void()>& prepare) {
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string err = folder_ / "err";
  pid_ = ::fork();
  if (pid_ != 0) return;
  if (prepare) prepare();
  const int nothing = ::open("/dev/null", O_RDWR);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(nothing, STDOUT_FILENO);
  ::dup2(::open(err.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0644), STDERR_FILENO);
  ::execv(argv[0], argv.data());
  ::_exit(127);
}

BackgroundProcess::~BackgroundProcess() {
  if (waited_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, &status_, 0);
}

void BackgroundProcess::signal(int number) const { ::kill(pid_, number); }

bool BackgroundProcess::ended() {
  if (!waited_) waited_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return waited_;
}

std::string BackgroundProcess::said() const {
  const std::filesystem::path err = folder_ / "err";
  return std::filesystem::exists(err) ? read_file(err) : "";
}

void BackgroundProcess::wait_until_said(const std::string& text) {
  while (said().find(text) == std::string::npos) {
    if (ended()) throw std::runtime_error("ended without saying \"" + text + "\": " + said());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

CommandResult BackgroundProcess::result() {
  if (!waited_) ::waitpid(pid_, &status_, 0);
  waited_ = true;
  return {.exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : 128 + WTERMSIG(status_),
          .out = "",
          .err = said()};
}

}  // namespace cuclip::test
