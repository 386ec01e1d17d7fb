#include "kernels/common/signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <system_error>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr int kSynchronous[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS};

// A signal mask as the kernel has it: bit n - 1 is signal n.
using KernelMask = uint64_t;

constexpr KernelMask asynchronous_signals() {
  KernelMask mask = ~KernelMask{0};
  for (const int signal : kSynchronous) mask &= ~(KernelMask{1} << (signal - 1));
  return mask;
}

// The kernel's call itself: pthread_sigmask leaves out the C library's own two signals.
void change_mask(int how, const KernelMask& mask, KernelMask* before) {
  ::syscall(SYS_rt_sigprocmask, how, &mask, before, sizeof(KernelMask));
}

struct ThreadSignals {
  int scopes = 0;
  bool held = false;
  KernelMask before = 0;
};

constinit thread_local ThreadSignals t_signals;

// Blocks asynchronous signals on this thread, so that the threads it starts meanwhile inherit the mask. The C
// library's own signals are left alone: a thread that blocked them for good would keep setuid() waiting for
// ever.
class BlockedForStart {
 public:
  BlockedForStart() {
    sigset_t mask;
    ::sigfillset(&mask);
    for (const int signal : kSynchronous) ::sigdelset(&mask, signal);
    ::pthread_sigmask(SIG_BLOCK, &mask, &before_);
  }
  ~BlockedForStart() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  BlockedForStart(const BlockedForStart&) = delete;
  BlockedForStart& operator=(const BlockedForStart&) = delete;

 private:
  sigset_t before_;
};

}  // namespace

SignalScope::SignalScope() { ++t_signals.scopes; }

SignalScope::~SignalScope() {
  if (--t_signals.scopes > 0 || !t_signals.held) return;
  t_signals.held = false;
  change_mask(SIG_SETMASK, t_signals.before, nullptr);
}

void SignalScope::hold() {
  if (t_signals.held) return;
  static constexpr KernelMask kHeld = asynchronous_signals();
  change_mask(SIG_BLOCK, kHeld, &t_signals.before);
  t_signals.held = true;
}

void start_threads(std::vector<std::thread>& threads, int count, const std::function<void(int)>& body) {
  const BlockedForStart blocked;
  threads.reserve(threads.size() + static_cast<size_t>(count));
  for (int i = 0; i < count; ++i) {
    try {
      threads.emplace_back(body, i);
    } catch (const std::system_error& error) {
      fail("cannot start {} threads: the system allowed only {} ({}); use fewer", count, i,
           error.code().message());
    }
  }
}

}  // namespace cuclip
