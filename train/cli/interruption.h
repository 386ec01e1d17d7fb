// How the executable ends when it is asked to: by SIGINT (Ctrl-C), SIGTERM (schedulers) or SIGHUP (the
// terminal is gone). A thread of its own takes them, so that no handler ever interrupts one that computes.
#pragma once

namespace cuclip {

/// From here on a signal ends the process at once with 128 + its number, and leaves no temporary file behind.
/// Called once, while the process has one thread. A signal that the parent had ignored stays ignored; of
/// SIGINT that holds for the keyboard's only: shells let commands in the background ignore it, but `kill -INT`
/// still means them.
void take_signals();

/// What is printed on standard error when a signal ends the process at once.
void say_when_interrupted(const char* message);

/// From here on a signal is remembered, and the work goes on to a point where it can be saved. Further ones
/// change nothing. `message` is printed when the first comes.
void finish_first(const char* message);

/// The first signal that came since finish_first, or 0.
int remembered_signal();

}  // namespace cuclip
