#include "tests/support/background_process.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "core/file_io.h"

namespace cuclip::test {
namespace {

constexpr std::chrono::minutes kPatience{4};  // below ctest's: a hang is told with what was said until then

// Whatever the tests were started from (nohup ignores SIGHUP, and that is inherited); and not longer than
// they live.
void take_signals_as_usual() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) ::signal(number, SIG_DFL);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  ::prctl(PR_SET_PDEATHSIG, SIGKILL);
}

}  // namespace

BackgroundProcess::BackgroundProcess(const std::vector<std::string>& command,
                                     const std::function<void()>& prepare) {
  std::vector<char*> argv;
  for (const std::string& argument : command) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const std::string err = folder_ / "err";
  pid_ = ::fork();
  if (pid_ != 0) return;
  take_signals_as_usual();
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

double BackgroundProcess::processor_seconds() const {
  const std::string stat = read_file("/proc/" + std::to_string(pid_) + "/stat");
  std::istringstream fields(stat.substr(stat.rfind(')') + 1));  // the name before it may hold anything
  std::string passed_over;
  for (int field = 3; field < 14; ++field) fields >> passed_over;
  int64_t user = 0, system = 0;
  fields >> user >> system;
  return static_cast<double>(user + system) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

bool BackgroundProcess::ended() {
  if (!waited_) waited_ = ::waitpid(pid_, &status_, WNOHANG) == pid_;
  return waited_;
}

std::string BackgroundProcess::said() const {
  const std::filesystem::path err = folder_ / "err";
  return std::filesystem::exists(err) ? read_file(err) : "";
}

void BackgroundProcess::wait_until(const std::string& what, const std::function<bool()>& happened) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!happened()) {
    if (std::chrono::steady_clock::now() > deadline)
      throw std::runtime_error("waited for minutes until it " + what + "; it said: " + said());
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

void BackgroundProcess::wait_while_running_until(const std::string& what,
                                                 const std::function<bool()>& happened) {
  wait_until(what, [&] {
    const bool was_running = !ended();  // asked before, so that what it did last is seen
    if (happened()) return true;
    if (!was_running) throw std::runtime_error("it ended before it " + what + "; it said: " + said());
    return false;
  });
}

void BackgroundProcess::wait_until_said(const std::string& text) {
  wait_while_running_until("said \"" + text + "\"", [&] { return said().find(text) != std::string::npos; });
}

CommandResult BackgroundProcess::result() {
  wait_until("ended", [this] { return ended(); });
  return {
      .exit_code = WIFEXITED(status_) ? WEXITSTATUS(status_) : -WTERMSIG(status_), .out = "", .err = said()};
}

}  // namespace cuclip::test
