// How the executable ends when it is asked to: by SIGINT (Ctrl-C), SIGTERM (schedulers) or SIGHUP (the
// terminal is gone). A dedicated thread takes them, so that no handler ever interrupts a thread that
// computes.
#pragma once

#include <functional>
#include <string>

namespace cuclip {

/// From here on a signal ends the process immediately with 128 + its number, and leaves no temporary file
/// behind. Called once, while the process has one thread. A signal that the parent ignored stays ignored; for
/// SIGINT that applies only to the keyboard's: shells let background commands ignore it, but `kill -INT`
/// still means them.
void take_signals();

/// What is printed on standard error when a signal ends the process immediately.
void say_when_interrupted(const char* message);

/// From here on a signal that ends the process immediately has `save` run first, on the thread that takes
/// signals and beside whatever else is running; what it returns is printed instead. An empty function: no
/// longer. This call waits for a save that is running, and so does not return where there is one.
void save_when_interrupted(std::function<std::string()> save);

/// From here on a signal is remembered, and the work continues to a point where it can be saved. Further
/// signals have no effect. `message` is printed when the first one comes.
void finish_first(const char* message);

/// The first signal that has come since finish_first, or 0.
int remembered_signal();

}  // namespace cuclip
