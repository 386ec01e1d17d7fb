// Statistics of parts of a matrix for contrastive_loss_merge of either device.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/contrastive_loss/contrastive_loss_part.h"
#include "tests/support/buffer.h"
#include "tests/support/kernel_test.h"

namespace cuclip::test {

// Statistics of parts as a merge takes them, its outputs, and what they are to be.
struct ContrastiveLossMergeProblem {
  ContrastiveLossMergeProblem(int64_t parts, int64_t elements, int64_t groups)
      : max(Buffer::normal({parts, elements}, DType::f32, 30.0)),
        sum(Buffer::normal({parts, elements}, DType::f32, 0.5, 3.0)),
        positive(Buffer::normal({elements}, DType::f32, 30.0)),
        lse(Buffer::poisoned({elements}, DType::f32)),
        losses(std::vector<double>(static_cast<size_t>(groups), NAN)) {
    for (int64_t i = 0; i < sum.elements(); ++i) sum.set(i, std::abs(sum.at(i)) + 1);
  }
  ContrastiveLossMerge params() const {
    return {.max = max.view(),
            .sum = sum.view(),
            .positive = positive.view(),
            .lse = lse.view(),
            .losses = losses.view()};
  }
  double expected_lse(int64_t j) const {
    const int64_t n = lse.elements();
    double most = -INFINITY, total = 0;
    for (int64_t p = 0; p < max.shape()[0]; ++p) most = std::max(most, max.at(p * n + j));
    for (int64_t p = 0; p < max.shape()[0]; ++p) {
      total += sum.at(p * n + j) * std::exp(max.at(p * n + j) - most);
    }
    return most + std::log(total);
  }

  Buffer max, sum, positive, lse;
  OnDevice<double> losses;
};

}  // namespace cuclip::test
