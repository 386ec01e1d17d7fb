// Loaded into a program by LD_PRELOAD: a handler of SIGALRM on the stack of the thread that it interrupts,
// CUCLIP_TICKS times per second, like that of a profiler that the program knows nothing about.
#include <signal.h>
#include <sys/time.h>

#include <cstdlib>

namespace {

[[gnu::constructor]] void start() {
  const char* ticks = std::getenv("CUCLIP_TICKS");
  if (ticks == nullptr) return;
  struct sigaction action {};
  action.sa_handler = [](int) {};
  ::sigaction(SIGALRM, &action, nullptr);
  const timeval interval{.tv_sec = 0, .tv_usec = 1'000'000 / std::atoi(ticks)};
  const itimerval timer{.it_interval = interval, .it_value = interval};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

}  // namespace
