// Signals and the threads that compute.
//
// oneDNN's generated f32 product uses the stack pointer as a general register. A handler that interrupts it
// uses that value as its stack pointer and overwrites whatever lies there. The handlers of a process are not
// the library's to change, so signals are kept away from its products instead
// (docs/decisions/0006-signals.md).
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace cuclip {

/// A stretch of work on the calling thread. From the first hold() within it to its end no handler of an
/// asynchronous signal runs on this thread: signals wait, or go to another thread. At its end the thread's
/// signal mask is what it was before. A scope within another one is part of that one, and costs nothing.
///
/// Not held are SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP and SIGSYS: the processor or the kernel raises them
/// for what the thread itself does, and ends the process when they are blocked. Held, beyond what
/// pthread_sigmask can block, are the two that the C library keeps for itself: setuid() and its like
/// interrupt every thread with one of them, and wait for the end of the scope.
class SignalScope {
 public:
  SignalScope();
  ~SignalScope();
  SignalScope(const SignalScope&) = delete;
  SignalScope& operator=(const SignalScope&) = delete;

  /// Holds signals back until the outermost scope on this thread ends.
  void hold();
};

/// Starts `count` threads that run body(0) … body(count - 1), and adds them to `threads`. They have every
/// asynchronous signal blocked from their first instruction on: handlers of the process run on its own
/// threads, never on these. Throws Error when the system refuses one; those started before it are then in
/// `threads`, for the caller to end.
void start_threads(std::vector<std::thread>& threads, int count, const std::function<void(int)>& body);

}  // namespace cuclip
