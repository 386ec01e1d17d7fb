// What the norm decides about a step, for either device: adamw.h has the formulas.
#pragma once

#include <cmath>

#include "kernels/adamw/adamw.h"
#include "kernels/common/host_device.h"

namespace cuclip {

struct AdamWDecision {
  double beta1, beta2;
  float clip_norm;

  CUCLIP_HOST_DEVICE void operator()(AdamWControl& c, float loss, float norm, float lr) const {
    c.loss = loss;
    c.gradient_norm = norm;
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      c.skipped++;
      c.skipped_in_a_row++;
      return;
    }
    c.steps++;
    c.skipped_in_a_row = 0;
    c.lr = static_cast<double>(lr);
    c.bias1 = 1.0 - pow(beta1, static_cast<double>(c.steps));
    c.sqrt_bias2 = static_cast<float>(sqrt(1.0 - pow(beta2, static_cast<double>(c.steps))));
    const float most = clip_norm / (norm + 1e-6f);
    c.gradient_scale = clip_norm > 0.0f && most < 1.0f ? most : 1.0f;
  }
};

inline AdamWDecision decision_of(const AdamWBegin& p) { return {p.beta1, p.beta2, p.clip_norm}; }

/// The part of the update that is particular to a segment: computed in f64, rounded to f32 once.
struct AdamWSegmentScalars {
  CUCLIP_HOST_DEVICE AdamWSegmentScalars(const AdamWControl& c, const AdamWSegment& s) {
    decay = static_cast<float>(1.0 - c.lr * static_cast<double>(s.weight_decay));
    step_size = static_cast<float>(c.lr / c.bias1);
  }
  float decay, step_size;
};

}  // namespace cuclip
