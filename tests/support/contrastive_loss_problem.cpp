#include "tests/support/contrastive_loss_problem.h"

namespace cuclip::test {

Buffer unit_rows(int64_t rows, int64_t depth, DType dtype) {
  Buffer x = Buffer::normal({rows, depth}, DType::f32);
  Buffer y = Buffer::zeros({rows, depth}, dtype);
  for (int64_t i = 0; i < rows; ++i) {
    double sum = 0;
    for (int64_t k = 0; k < depth; ++k) sum += x.at(i * depth + k) * x.at(i * depth + k);
    for (int64_t k = 0; k < depth; ++k) y.set(i * depth + k, x.at(i * depth + k) / std::sqrt(sum));
  }
  return y;
}

void check_forward(const ContrastiveLossProblem& p, const ContrastiveLossResult& expected) {
  // Beyond the logits' error: the exponential's 2 ulp and sums of 256 f32 terms, then the rounding of the
  // result.
  const Tolerance t{p.logit_error() + 64 * roundoff(DType::f32), 2 * roundoff(DType::f32)};
  expect_close("row_lse", p.row_lse, expected.row_lse, t);
  expect_close("column_lse", p.column_lse, expected.column_lse, t);
  expect_close("positive", p.positive, expected.positive, t);
  // Errors of lse and of the positive logit.
  expect_close("loss", p.loss, {expected.loss}, {2 * t.absolute, t.relative});
}

void check_backward(const ContrastiveLossProblem& p, const ContrastiveLossGradients& expected, bool tf32) {
  // Relative error of a probability: those of S and of lse in its exponent. bf16 and tf32 (2^-11) round each
  // G once for the products; √terms of partial sums are rounded in f32.
  const double lse = 100 * roundoff(DType::f32);
  const double term = 2 * p.logit_error() + lse + 256 * roundoff(DType::f32) +
                      (p.image.dtype() == DType::bf16 ? roundoff(DType::bf16)
                       : tf32                         ? 0x1p-11
                                                      : 0.0);
  const double rounding = p.image.dtype() == DType::bf16 ? roundoff(DType::bf16) : 0.0;
  expect_close("dimage", p.dimage, expected.dimage, {term * expected.dimage_terms, rounding});
  expect_close("dtext", p.dtext, expected.dtext, {term * expected.dtext_terms, rounding});
  const double before = ContrastiveLossProblem::kLogScaleGradientBefore;
  expect_close("dlog_scale", p.dlog_scale, {before + expected.dlog_scale},
               {term * expected.dlog_scale_terms + before * roundoff(DType::f32), rounding});
}

}  // namespace cuclip::test
