// float64 reference of the contrastive loss.
#pragma once

#include <vector>

#include "tests/cases/contrastive_loss_cases.h"

namespace cuclip::test {

struct ContrastiveLossInputs {
  cases::ContrastiveLossCase c;
  std::vector<double> image;  // [rows, depth]
  std::vector<double> text;   // [columns, depth]
  double log_scale;
};

struct ContrastiveLossResult {
  double loss;
  std::vector<double> row_lse, column_lse, positive;
};
ContrastiveLossResult ref_contrastive_loss(const ContrastiveLossInputs& in);

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
