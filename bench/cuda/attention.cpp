#include "kernels/attention/attention.h"

#include <cmath>
#include <memory>

#include "bench/cuda/lt_product.h"
#include "bench/cuda/naive.h"
#include "bench/cuda/operations.h"
#include "bench/cuda/sample.h"
#include "tests/support/ref_attention.h"

namespace cuclip::bench {
namespace {

constexpr double kForwardProducts = 2, kBackwardProducts = 5;

Operation operation(const std::string& name, const Tower& t, Precision precision, double products) {
  const auto pairs = static_cast<double>(t.causal ? t.length * (t.length + 1) / 2 : t.length * t.length);
  const DType dtype = activation_dtype(precision);
  const Shape rows{t.batch, t.length, t.width};
  return {.name = name,
          .shape = fmt::format("B{}_S{}{}_H{}_D{}", t.batch, t.length, t.causal ? "causal" : "", t.heads(),
                               t.head_dim),
          .precision = precision,
          .flop = products * 2 * pairs * static_cast<double>(t.batch * t.width),
          .tensors = {{"qkv", {t.batch, t.length, 3 * t.width}, dtype, Fill::normal},
                      {"out", rows, dtype},
                      {"lse", {t.batch, t.heads(), t.length}, DType::f32}}};
}

void forward(const Tower& tower, const Tensors& t, const ExecContext& ctx) {
  cuclip::attention_forward({.qkv = t.at("qkv"),
                             .out = t.at("out"),
                             .lse = t.at("lse"),
                             .heads = tower.heads(),
                             .causal = tower.causal},
                            ctx);
}

/// What the composition keeps: heads apart, and the probabilities.
struct Unfused {
  Unfused(Lab& lab, const Tower& t)
      : context(*lab.context),
        tower(t),
        dtype(activation_dtype(lab.precision)),
        qkv(heads(3)),
        out(heads(1)) {
    scores = Tensor::empty(context, {t.batch * t.heads() * t.length, t.length}, dtype);
  }

  /// `parts` times [B, H, S, D].
  Tensor heads(int64_t parts) {
    return Tensor::empty(context, {parts, tower.batch, tower.heads(), tower.length, tower.head_dim}, dtype);
  }
  LtRun product(Lab& lab, bool transpose_a, bool transpose_b, bool of_scores,
                const LtOperands& sample) const {
    const int64_t s = tower.length, d = tower.head_dim;
    return lt_product(lab,
                      {.m = s,
                       .n = of_scores ? s : d,
                       .k = of_scores ? d : s,
                       .in = dtype,
                       .out = dtype,
                       .transpose_a = transpose_a,
                       .transpose_b = transpose_b,
                       .batch = tower.batch * tower.heads()},
                      sample);
  }
  float scale() const { return 1.0f / std::sqrt(static_cast<float>(tower.head_dim)); }

  Context& context;
  Tower tower;
  DType dtype;
  Tensor qkv, out, scores;
};

Launch unfused_forward(Lab& lab, const Tower& tower) {
  const auto u = std::make_shared<Unfused>(lab, tower);
  const LtOperands score{u->qkv.rows(0, 1), u->qkv.rows(1, 1), u->scores};
  const LtOperands value{u->scores, u->qkv.rows(2, 1), u->out};
  const LtRun scores = u->product(lab, false, true, true, score);
  const LtRun values = u->product(lab, false, false, false, value);
  return [=](const Tensors& t) {
    const ExecContext ctx = u->context.exec();
    naive::split_heads(t.at("qkv"), u->qkv, ctx);
    scores(score);
    naive::softmax(u->scores, u->scale(), tower.causal, t.at("lse"), ctx);
    values(value);
    naive::merge_heads(u->out, t.at("out"), ctx);
  };
}

// The probabilities are the forward's, which keeps them: those of the first copy of the tensors.
Launch unfused_backward(Lab& lab, const Tower& tower, const Tensors& first) {
  const auto u = std::make_shared<Unfused>(lab, tower);
  const ExecContext ctx = u->context.exec();
  const Tensor dqkv = u->heads(3), dout = u->heads(1),
               dscores = Tensor::empty(u->context, u->scores.shape(), u->dtype);
  const Tensor q = u->qkv.rows(0, 1), k = u->qkv.rows(1, 1), v = u->qkv.rows(2, 1);
  naive::split_heads(first.at("qkv"), u->qkv, ctx);
  u->product(lab, false, true, true, {q, k, u->scores})({q, k, u->scores});
  naive::softmax(u->scores, u->scale(), tower.causal, first.at("lse"), ctx);

  const LtOperands to_scores{dout, v, dscores}, to_q{dscores, k, dqkv.rows(0, 1)},
      to_k{dscores, q, dqkv.rows(1, 1)}, to_v{u->scores, dout, dqkv.rows(2, 1)};
  const LtRun dp = u->product(lab, false, true, true, to_scores);
  const LtRun dq = u->product(lab, false, false, false, to_q);
  const LtRun dk = u->product(lab, true, false, false, to_k);  // and dv
  return [=](const Tensors& t) {
    const ExecContext ctx = u->context.exec();
    naive::split_heads(t.at("qkv"), u->qkv, ctx);
    naive::split_heads(t.at("dout"), dout, ctx);
    dk(to_v);
    dp(to_scores);
    naive::softmax_backward(u->scores, dscores, u->scale(), ctx);
    dq(to_q);
    dk(to_k);
    naive::merge_heads(dqkv, t.at("dqkv"), ctx);
  };
}

/// One head of a packed row of the batch: [S, parts D].
Doubles head_of(const Doubles& row, const Tower& t, int64_t parts, int64_t head) {
  Doubles values;
  for (int64_t i = 0; i < t.length * parts; ++i) {
    const double* from = &row[static_cast<size_t>(i * t.width + head * t.head_dim)];
    values.insert(values.end(), from, from + t.head_dim);
  }
  return values;
}

std::vector<Deviation> deviations(const Tower& tower, const Tensors& t, bool backward) {
  Comparison comparison;
  const test::AttentionShape one{1, tower.length, 1, tower.head_dim, tower.causal};
  const auto compare = [&](const char* name, const Doubles& found, const Doubles& expected) {
    for (size_t i = 0; i < expected.size(); ++i) comparison.add(name, found[i], expected[i]);
  };
  for (const int64_t b : spread(tower.batch, 2)) {
    const int64_t h = b == 0 ? 0 : tower.heads() - 1;
    const auto head = [&](const char* name, int64_t parts) {
      return head_of(row_of(t.at(name), b), tower, parts, h);
    };
    const Doubles qkv = head("qkv", 3);
    if (backward) {
      compare("dqkv", head("dqkv", 3),
              test::ref_attention_backward(qkv, head("out", 1), head("dout", 1), one).dqkv);
      continue;
    }
    const test::AttentionReference expected = test::ref_attention(qkv, one);
    const Doubles lse = row_of(t.at("lse"), b);
    compare("out", head("out", 1), expected.out);
    compare("lse", {lse.begin() + h * tower.length, lse.begin() + (h + 1) * tower.length}, expected.lse);
  }
  return comparison.deviations();
}

CudnnAttention for_cudnn(const Tower& t, bool backward) {
  return {t.batch, t.length, t.heads(), t.head_dim, t.causal, backward};
}

}  // namespace

Operation attention_forward(const Tower& tower, Precision precision) {
  Operation op = operation("attention_forward", tower, precision, kForwardProducts);
  op.contestants = {
      ours([=](const Tensors& t, const ExecContext& ctx) { forward(tower, t, ctx); }),
      cudnn(for_cudnn(tower, false)),
      {.name = "naive", .prepare = [=](Lab& lab, const Tensors&) { return unfused_forward(lab, tower); }}};
  op.deviations = [=](const Tensors& t) { return deviations(tower, t, false); };
  return op;
}

Operation attention_backward(const Tower& tower, Precision precision) {
  Operation op = operation("attention_backward", tower, precision, kBackwardProducts);
  for (TensorSpec& spec : op.tensors) {
    if (spec.fill == Fill::zeros) spec.fill = Fill::derived;
  }
  const DType dtype = activation_dtype(precision);
  op.tensors.push_back({"dout", {tower.batch, tower.length, tower.width}, dtype, Fill::normal});
  op.tensors.push_back({"dqkv", {tower.batch, tower.length, 3 * tower.width}, dtype});
  op.derive = [=](const Tensors& t, const ExecContext& ctx) { forward(tower, t, ctx); };
  op.contestants = {ours([=](const Tensors& t, const ExecContext& ctx) {
                      cuclip::attention_backward({.qkv = t.at("qkv"),
                                                  .out = t.at("out"),
                                                  .lse = t.at("lse"),
                                                  .dout = t.at("dout"),
                                                  .dqkv = t.at("dqkv"),
                                                  .heads = tower.heads(),
                                                  .causal = tower.causal},
                                                 ctx);
                    }),
                    cudnn(for_cudnn(tower, true)),
                    {.name = "naive", .prepare = [=](Lab& lab, const Tensors& first) {
                       return unfused_backward(lab, tower, first);
                     }}};
  op.deviations = [=](const Tensors& t) { return deviations(tower, t, true); };
  return op;
}

}  // namespace cuclip::bench
