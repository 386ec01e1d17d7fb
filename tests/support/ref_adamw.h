// float64 reference of AdamW: the statements of torch.optim.AdamW, one after another.
#pragma once

#include "kernels/adamw/adamw.h"

namespace cuclip::test {

struct AdamWElement {
  double weight, gradient, exp_avg, exp_avg_sq;
};

/// The element after a step that was begun with this control; p's tensors are not read.
AdamWElement ref_adamw(AdamWElement e, const AdamWStep& p, const AdamWControl& control,
                       const AdamWSegment& segment);

}  // namespace cuclip::test
