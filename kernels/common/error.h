// The library's exceptions, with nothing but the standard library: cuclip/cuclip.h includes this too.
#pragma once

#include <stdexcept>

namespace cuclip {

/// The work failed: something that the caller could not have known (the disk is full, the loss diverged).
/// The command line exits with 1.
class [[gnu::visibility("default")]] Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// The arguments or the inputs are wrong (a shape, a flag, a damaged file). The command line exits with 2.
class [[gnu::visibility("default")]] InputError : public Error {
 public:
  using Error::Error;
};

}  // namespace cuclip
