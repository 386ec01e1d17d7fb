// One contestant's computation of one operation: right first, then timed.
#pragma once

#include <map>
#include <memory>

#include "bench/cuda/operation.h"
#include "kernels/common/parallel.h"

namespace cuclip::bench {

/// What the card can do, measured in this run: the denominators of all shares.
struct Ceilings {
  double copy = 0;                       // B/s, read and written, of a large copy
  std::map<Precision, double> products;  // FLOP/s of a large product; none where there is no cuBLASLt
};
/// `small`: of a few elements, for the emulator.
Ceilings measure_ceilings(const std::shared_ptr<ThreadPool>& pool, bool small);

struct Measurement {
  double median = 0, low = 0, high = 0;  // seconds a computation; the 10th and 90th of a hundred samples
  int64_t launches = 0;                  // computations in a sample
  Deviation worst;                       // as a share of its limit
  double limit = 0;
};

struct Failure : Error {
  using Error::Error;
};

struct Effort {
  int samples = 50;
  double sample_seconds = 2e-4;  // short computations are repeated in a graph for so long; 0: once
  double warm_up_seconds = 0.1;
  int64_t serial = 0;  // shown to the emulator's profile (naive::mark); 0: not
};

/// The greatest deviation that is right in a precision.
double limit_of(Precision precision);

/// Computes the operation with as many copies of its tensors as it takes to outgrow the L2 cache, in turn.
/// Throws Refusal where the contestant does not compute it or memory is short, and Failure where its result
/// is wrong.
Measurement measure(const std::shared_ptr<ThreadPool>& pool, const Operation& operation,
                    const Contestant& contestant, const Effort& effort);

}  // namespace cuclip::bench
