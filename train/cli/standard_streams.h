// Standard input, output and error as a command may find them: closed, or with nobody reading them any more.
#pragma once

namespace cuclip {

/// To be called before any file is opened. Where one of the three is closed, its place is taken, so that no
/// file gets its number and what is printed never ends up in a checkpoint; writing results to a closed
/// standard output still fails. Messages to standard error that nobody can receive are dropped from here on:
/// a terminal that is closed or a log on a full disk does not end a training run.
void secure_standard_streams();

}  // namespace cuclip
