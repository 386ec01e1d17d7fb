// float64 reference of AdamW: the statements of torch.optim.AdamW, one after another.
#pragma once

#include "kernels/adamw/adamw.h"

namespace cuclip::test {

struct AdamWElement {
  double weight, gradient, exp_avg, exp_avg_sq;
};

/// The element after step p.step; p's tensors are not read.
AdamWElement ref_adamw(AdamWElement e, const AdamWStep& p, const AdamWSegment& segment);

}  // namespace cuclip::test
