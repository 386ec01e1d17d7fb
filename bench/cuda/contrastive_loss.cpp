#include "kernels/contrastive_loss/contrastive_loss.h"

#include <algorithm>
#include <cmath>

#include "bench/cuda/lt_product.h"
#include "bench/cuda/naive.h"
#include "bench/cuda/operations.h"
#include "bench/cuda/sample.h"
#include "tests/cases/contrastive_loss_cases.h"

namespace cuclip::bench {
namespace {

constexpr double kScale = 100;
// Logits are up to 100: what the rounding of features changes of them is much of their probabilities.
constexpr double kBackwardLimit = 0.04;
constexpr int64_t kMostForAllLogits = 1024;  // up to here dlog_scale is checked, a sum over all logits

Operation operation(const std::string& name, const Pairs& p, Precision precision, double flop) {
  const DType dtype = activation_dtype(precision);
  return {.name = name,
          .shape = fmt::format("N{}_D{}", p.count, p.width),
          .precision = precision,
          .flop = flop,
          .tensors = {{"image", {p.count, p.width}, dtype, Fill::unit_rows},
                      {"text", {p.count, p.width}, dtype, Fill::unit_rows},
                      {"log_scale", {1}, DType::f32, Fill::constant, std::log(static_cast<float>(kScale))},
                      {"loss", {1}, DType::f32},
                      {"row_lse", {p.count}, DType::f32},
                      {"column_lse", {p.count}, DType::f32}}};
}

void forward(const Tensors& t, const ExecContext& ctx) {
  cuclip::contrastive_loss_forward({.image = t.at("image"),
                                    .text = t.at("text"),
                                    .log_scale = t.at("log_scale"),
                                    .loss = t.at("loss"),
                                    .row_lse = t.at("row_lse"),
                                    .column_lse = t.at("column_lse")},
                                   ctx);
}

/// S without its scale, in memory.
LtRun logits(Lab& lab, const Pairs& p, const Tensors& first, const Tensor& s) {
  return lt_product(lab,
                    {.m = p.count,
                     .n = p.count,
                     .k = p.width,
                     .in = first.at("image").dtype(),
                     .out = DType::f32,
                     .transpose_b = true},
                    {first.at("image"), first.at("text"), s});
}

Launch materialised_forward(Lab& lab, const Pairs& p, const Tensors& first) {
  const Tensor s = Tensor::empty(*lab.context, {p.count, p.count}, DType::f32);
  const LtRun product = logits(lab, p, first, s);
  return [=, &context = *lab.context](const Tensors& t) {
    const ExecContext ctx = context.exec();
    product({t.at("image"), t.at("text"), s});
    naive::logit_rows(s, t.at("log_scale"), t.at("row_lse"), ctx);
    naive::logit_columns(s, t.at("log_scale"), t.at("column_lse"), ctx);
    naive::contrastive_loss(s, t.at("log_scale"), t.at("row_lse"), t.at("column_lse"), t.at("loss"), ctx);
  };
}

// S is the forward's, which keeps it: that of the first copy of the tensors.
Launch materialised_backward(Lab& lab, const Pairs& p, const Tensors& first) {
  const DType dtype = first.at("image").dtype();
  const Tensor s = Tensor::empty(*lab.context, {p.count, p.count}, DType::f32),
               gradient = Tensor::empty(*lab.context, {p.count, p.count}, dtype);
  logits(lab, p, first, s)({first.at("image"), first.at("text"), s});
  LtProduct to_image{.m = p.count, .n = p.width, .k = p.count, .in = dtype, .out = dtype}, to_text = to_image;
  to_text.transpose_a = true;
  const LtRun image = lt_product(lab, to_image, {gradient, first.at("text"), first.at("dimage")});
  const LtRun text = lt_product(lab, to_text, {gradient, first.at("image"), first.at("dtext")});
  return [=, &context = *lab.context](const Tensors& t) {
    naive::contrastive_gradient(s, t.at("log_scale"), t.at("row_lse"), t.at("column_lse"), gradient,
                                t.at("dlog_scale"), context.exec());
    image({gradient, t.at("text"), t.at("dimage")});
    text({gradient, t.at("image"), t.at("dtext")});
  };
}

/// Features of one side, and logits of one of its rows with all of the other side.
struct Features {
  explicit Features(const Tensor& x) : values(all_of(x)), width(x.size(1)) {}
  const double* row(int64_t i) const { return &values[static_cast<size_t>(i * width)]; }
  int64_t count() const { return static_cast<int64_t>(values.size()) / width; }

  Doubles values;
  int64_t width;
};

double logit(const double* a, const double* b, int64_t width) {
  double sum = 0;
  for (int64_t i = 0; i < width; ++i) sum += a[i] * b[i];
  return kScale * sum;
}

Doubles logits_of(const double* row, const Features& others) {
  Doubles all;
  for (int64_t j = 0; j < others.count(); ++j) all.push_back(logit(row, others.row(j), others.width));
  return all;
}

double log_sum(const Doubles& logits) {
  const double max = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double x : logits) sum += std::exp(x - max);
  return max + std::log(sum);
}

// The loss itself from the statistics found, of which a sample is checked.
std::vector<Deviation> forward_deviations(const Tensors& t) {
  Comparison comparison;
  const Features image(t.at("image")), text(t.at("text"));
  const Doubles rows = all_of(t.at("row_lse")), columns = all_of(t.at("column_lse"));
  for (const int64_t i : spread(image.count(), 4)) {
    comparison.add("row_lse", rows[static_cast<size_t>(i)], log_sum(logits_of(image.row(i), text)));
    comparison.add("column_lse", columns[static_cast<size_t>(i)], log_sum(logits_of(text.row(i), image)));
  }
  double loss = 0;
  for (int64_t i = 0; i < image.count(); ++i) {
    loss += (rows[static_cast<size_t>(i)] + columns[static_cast<size_t>(i)]) / 2 -
            logit(image.row(i), text.row(i), image.width);
  }
  comparison.add("loss", all_of(t.at("loss"))[0], loss / static_cast<double>(image.count()));
  return comparison.deviations();
}

std::vector<Deviation> backward_deviations(const Tensors& t) {
  Comparison comparison;
  const Features image(t.at("image")), text(t.at("text"));
  const Doubles rows = all_of(t.at("row_lse")), columns = all_of(t.at("column_lse"));
  const auto gradient_of_logit = [&](double s, int64_t i, int64_t j, const Doubles& own,
                                     const Doubles& other) {
    return (std::exp(s - own[static_cast<size_t>(i)]) + std::exp(s - other[static_cast<size_t>(j)]) -
            (i == j ? 2.0 : 0.0)) /
           (2.0 * static_cast<double>(own.size()));
  };
  const auto compare = [&](const char* name, const Features& own, const Features& other,
                           const Doubles& own_lse, const Doubles& other_lse) {
    for (const int64_t i : spread(own.count(), 3)) {
      const Doubles found = row_of(t.at(name), i), s = logits_of(own.row(i), other);
      Doubles expected(found.size());
      for (int64_t j = 0; j < other.count(); ++j) {
        const double g = kScale * gradient_of_logit(s[static_cast<size_t>(j)], i, j, own_lse, other_lse);
        for (size_t c = 0; c < expected.size(); ++c) expected[c] += g * other.row(j)[c];
      }
      for (size_t c = 0; c < expected.size(); ++c) comparison.add(name, found[c], expected[c]);
    }
  };
  compare("dimage", image, text, rows, columns);
  compare("dtext", text, image, columns, rows);
  if (image.count() > kMostForAllLogits) return comparison.deviations();
  double dlog_scale = 0;
  for (int64_t i = 0; i < image.count(); ++i) {
    const Doubles s = logits_of(image.row(i), text);
    for (int64_t j = 0; j < text.count(); ++j) {
      dlog_scale +=
          gradient_of_logit(s[static_cast<size_t>(j)], i, j, rows, columns) * s[static_cast<size_t>(j)];
    }
  }
  comparison.add("dlog_scale", all_of(t.at("dlog_scale"))[0], dlog_scale);
  return comparison.deviations();
}

}  // namespace

Operation contrastive_loss_forward(const Pairs& pairs, Precision precision) {
  const cases::ContrastiveLossCase c{pairs.count, pairs.count, pairs.width};
  Operation op = operation("contrastive_loss_forward", pairs, precision, c.forward_flop());
  op.contestants = {ours(forward), {.name = "cublaslt", .prepare = [=](Lab& lab, const Tensors& first) {
                                      return materialised_forward(lab, pairs, first);
                                    }}};
  op.deviations = forward_deviations;
  return op;
}

Operation contrastive_loss_backward(const Pairs& pairs, Precision precision) {
  const cases::ContrastiveLossCase c{pairs.count, pairs.count, pairs.width};
  Operation op = operation("contrastive_loss_backward", pairs, precision, c.backward_flop());
  for (TensorSpec& spec : op.tensors) {
    if (spec.fill == Fill::zeros) spec.fill = Fill::derived;
  }
  const DType dtype = activation_dtype(precision);
  op.tensors.push_back({"dloss", {1}, DType::f32, Fill::constant, 1.0f});
  op.tensors.push_back({"dimage", {pairs.count, pairs.width}, dtype});
  op.tensors.push_back({"dtext", {pairs.count, pairs.width}, dtype});
  op.tensors.push_back({"dlog_scale", {1}, DType::f32});
  op.derive = forward;
  op.contestants = {ours([](const Tensors& t, const ExecContext& ctx) {
                      cuclip::contrastive_loss_backward({.image = t.at("image"),
                                                         .text = t.at("text"),
                                                         .log_scale = t.at("log_scale"),
                                                         .row_lse = t.at("row_lse"),
                                                         .column_lse = t.at("column_lse"),
                                                         .dloss = t.at("dloss"),
                                                         .dimage = t.at("dimage"),
                                                         .dtext = t.at("dtext"),
                                                         .dlog_scale = t.at("dlog_scale")},
                                                        ctx);
                    }),
                    {.name = "cublaslt", .prepare = [=](Lab& lab, const Tensors& first) {
                       return materialised_backward(lab, pairs, first);
                     }}};
  for (Contestant& contestant : op.contestants) {
    if (precision == Precision::tf32) contestant.limit = kBackwardLimit;
  }
  op.deviations = backward_deviations;
  return op;
}

}  // namespace cuclip::bench
