// A problem for the contrastive loss of either device, and how near its results must come to float64.
#pragma once

#include <cmath>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/contrastive_loss/contrastive_loss.h"
#include "tests/support/buffer.h"
#include "tests/support/ref_contrastive_loss.h"

namespace cuclip::test {

/// Rows of unit length, rounded to dtype.
Buffer unit_rows(int64_t rows, int64_t depth, DType dtype);

/// The tensors of both directions. Outputs are poisoned; dlog_scale starts at a number to be added to.
struct ContrastiveLossProblem {
  static constexpr double kLogScaleGradientBefore = 3.0;

  ContrastiveLossProblem(const cases::ContrastiveLossCase& c, Buffer image_rows, Buffer text_rows,
                         double log_scale_value, double dloss_value = 1)
      : c(c),
        image(std::move(image_rows)),
        text(std::move(text_rows)),
        log_scale(Buffer::from({1}, DType::f32, {log_scale_value})),
        dloss(Buffer::from({1}, DType::f32, {dloss_value})) {
    reset_outputs();
  }
  static ContrastiveLossProblem random(const cases::ContrastiveLossCase& c, DType dtype, double scale,
                                       double dloss = 1) {
    return ContrastiveLossProblem(c, unit_rows(c.rows, c.depth, dtype), unit_rows(c.columns, c.depth, dtype),
                                  std::log(scale), dloss);
  }

  void reset_outputs() {
    for (Buffer* b : {&loss, &dlog_scale}) *b = Buffer::poisoned({1}, DType::f32);
    dlog_scale.set(0, kLogScaleGradientBefore);
    for (Buffer* b : {&row_lse, &positive}) *b = Buffer::poisoned({c.rows}, DType::f32);
    column_lse = Buffer::poisoned({c.columns}, DType::f32);
    dimage = Buffer::poisoned(image.shape(), image.dtype());
    dtext = Buffer::poisoned(text.shape(), text.dtype());
  }

  ContrastiveLossForward forward_params() const {
    return {.image = image.view(),
            .text = text.view(),
            .log_scale = log_scale.view(),
            .label_offset = c.label_offset,
            .image_words = view_or_none(image_words),
            .text_words = view_or_none(text_words),
            .loss = loss.view(),
            .row_lse = row_lse.view(),
            .column_lse = column_lse.view(),
            .positive = positive.view()};
  }
  ContrastiveLossBackward backward_params() const {
    return {.image = image.view(),
            .text = text.view(),
            .log_scale = log_scale.view(),
            .label_offset = c.label_offset,
            .image_words = view_or_none(image_words),
            .text_words = view_or_none(text_words),
            .row_lse = row_lse.view(),
            .column_lse = column_lse.view(),
            .dloss = dloss.view(),
            .dimage = dimage.view(),
            .dtext = dtext.view(),
            .dlog_scale = dlog_scale.view()};
  }
  void forward(const ExecContext& ctx) { contrastive_loss_forward(forward_params(), ctx); }
  void backward(const ExecContext& ctx) { contrastive_loss_backward(backward_params(), ctx); }
  std::vector<Buffer> outputs() const {
    return {loss, row_lse, column_lse, positive, dimage, dtext, dlog_scale};
  }

  /// With tf32 what the products see: errors are then those of the sums alone.
  ContrastiveLossInputs reference_inputs(bool tf32 = false) const {
    ContrastiveLossInputs in{c, image.to_doubles(), text.to_doubles(), log_scale.at(0)};
    if (image_words) {
      in.image_words = bits_of(*image_words);
      in.text_words = bits_of(*text_words);
    }
    if (tf32) {
      for (std::vector<double>* features : {&in.image, &in.text}) {
        for (double& x : *features) x = to_tf32(x);
      }
    }
    return in;
  }
  /// Error of a logit: exp(t) and the product are rounded, and the sum over D unit-length products makes an
  /// error of √D roundings of at most 1 (twice that for luck). exp(t) is right to an ulp, relatively.
  double logit_error() const {
    const double scale = std::exp(log_scale.at(0));
    return scale * (4 + 2 * std::sqrt(static_cast<double>(c.depth))) * roundoff(DType::f32);
  }

  cases::ContrastiveLossCase c;
  Buffer image, text, log_scale, dloss;
  std::optional<Buffer> image_words, text_words;
  Buffer loss = Buffer::zeros({1}, DType::f32), dlog_scale = loss, row_lse = loss, positive = loss,
         column_lse = loss, dimage = loss, dtext = loss;

 private:
  static TensorView view_or_none(const std::optional<Buffer>& words) {
    return words ? words->view() : TensorView();
  }
  static std::vector<uint32_t> bits_of(const Buffer& words) {
    const auto* first = reinterpret_cast<const uint32_t*>(words.data<int32_t>());
    return {first, first + words.elements()};
  }
};

/// Fails the test where an output is further from float64 than its derived error. With tf32 `expected` is of
/// ContrastiveLossProblem::reference_inputs(true).
void check_forward(const ContrastiveLossProblem& p, const ContrastiveLossResult& expected);
void check_backward(const ContrastiveLossProblem& p, const ContrastiveLossGradients& expected,
                    bool tf32 = false);

}  // namespace cuclip::test
