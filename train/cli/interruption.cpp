#include "train/cli/interruption.h"

#include <poll.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <utility>

#include "core/file_io.h"
#include "models/files/names.h"

namespace cuclip {
namespace {

struct State {
  std::mutex mutex;
  const char* last_words = "interrupted";
  std::function<std::string()> save;  // of save_when_interrupted
  const char* finishing = nullptr;    // set by finish_first
  std::atomic<int> signal{0};         // remembered since then
};

// Never destroyed: the thread that takes signals outlives main.
State& state() {
  static auto* const s = new State;
  return *s;
}

// Not through stdio: another thread may be in the middle of a line and hold its lock. And without ever
// waiting: a full pipe that nobody drains must not keep signals from being taken, so then these words are
// dropped.
void say(const std::string& message) {
  pollfd out{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&out, 1, 0) != 1 || (out.revents & POLLOUT) == 0) return;
  const char* start = ::isatty(STDERR_FILENO) == 1 ? "\n" : "";  // after "^C" or a line that rewrites itself
  const std::string line = std::string(start) + "cuclip: " + escaped_text(message) + "\n";
  (void)!::write(STDERR_FILENO, line.data(), line.size());
}

std::string saved(const std::function<std::string()>& save) {
  try {
    return save();
  } catch (const std::exception& error) {
    return std::string("interrupted: ") + error.what();
  }
}

void take(int signal) {
  State& s = state();
  const std::lock_guard lock(s.mutex);
  if (s.finishing == nullptr) {
    say(s.save ? saved(s.save) : s.last_words);
    abandon_writes_and_exit(128 + signal);
  }
  int none = 0;
  if (s.signal.compare_exchange_strong(none, signal)) {
    say(s.finishing);
  } else {
    say("still finishing; Ctrl-\\ (SIGQUIT) quits immediately; the last checkpoint is left intact");
  }
}

[[noreturn]] void wait_for_signals(sigset_t signals, bool keyboard_ignored) {
  for (;;) {
    siginfo_t info;
    const int signal = ::sigwaitinfo(&signals, &info);
    if (signal < 0) continue;  // interrupted by another signal
    if (signal == SIGINT && keyboard_ignored && info.si_code == SI_KERNEL) continue;
    take(signal);
  }
}

bool is_ignored(int signal) {
  struct sigaction action {};
  ::sigaction(signal, nullptr, &action);
  return action.sa_handler == SIG_IGN;
}

}  // namespace

void take_signals() {
  const bool keyboard_ignored = is_ignored(SIGINT);
  sigset_t signals;
  ::sigemptyset(&signals);
  ::sigaddset(&signals, SIGINT);
  for (const int signal : {SIGTERM, SIGHUP}) {
    if (!is_ignored(signal)) ::sigaddset(&signals, signal);
  }
  // Every thread that is started from now on inherits this mask; only sigwaitinfo gets the signals.
  ::pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  ::signal(SIGINT, SIG_DFL);  // an ignored signal need not be kept for sigwaitinfo
  state();
  try {
    std::thread(wait_for_signals, signals, keyboard_ignored).detach();
  } catch (const std::system_error&) {
    // If no thread can be had, signals end the process in the system's way.
    if (keyboard_ignored) ::signal(SIGINT, SIG_IGN);
    ::pthread_sigmask(SIG_UNBLOCK, &signals, nullptr);
  }
}

void say_when_interrupted(const char* message) {
  const std::lock_guard lock(state().mutex);
  state().last_words = message;
}

void save_when_interrupted(std::function<std::string()> save) {
  const std::lock_guard lock(state().mutex);
  state().save = std::move(save);
}

void finish_first(const char* message) {
  const std::lock_guard lock(state().mutex);
  state().finishing = message;
}

int remembered_signal() { return state().signal; }

}  // namespace cuclip
