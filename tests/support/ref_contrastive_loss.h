// float64 reference of the contrastive loss.
#pragma once

#include <cstdint>
#include <vector>

#include "tests/cases/contrastive_loss_cases.h"

namespace cuclip::test {

struct ContrastiveLossInputs {
  cases::ContrastiveLossCase c;
  std::vector<double> image;  // [rows, depth]
  std::vector<double> text;   // [columns, depth]
  double log_scale;
  // Sets of 128 bits, [rows, 4] and [columns, 4], or both empty.
  std::vector<uint32_t> image_words = {}, text_words = {};
};

/// Whether the pair is left out of the loss: no positive, and one of two sets that are not empty contains the
/// other.
bool ref_left_out(const ContrastiveLossInputs& in, int64_t i, int64_t j);

struct ContrastiveLossResult {
  double loss;
  std::vector<double> row_lse, column_lse, positive;
};
ContrastiveLossResult ref_contrastive_loss(const ContrastiveLossInputs& in);
/// Of a part of a matrix, in which rows need not have their positives: NaN where they have none. No loss.
ContrastiveLossResult ref_contrastive_loss_part(const ContrastiveLossInputs& in);

struct ContrastiveLossGradients {
  std::vector<double> dimage, dtext;
  double dlog_scale;
  // The largest sum of absolute terms among the elements of each gradient: what a relative error of every
  // term amounts to.
  double dimage_terms, dtext_terms, dlog_scale_terms;
};
ContrastiveLossGradients ref_contrastive_loss_gradients(const ContrastiveLossInputs& in,
                                                        const std::vector<double>& row_lse,
                                                        const std::vector<double>& column_lse, double dloss);

}  // namespace cuclip::test
