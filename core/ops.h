// Every differentiable operation, on one page. Each computes its result and, where a gradient is wanted,
// records its backward pass on the tape; core/ops/<op>.cpp has both side by side. The maths is written in
// kernels/<op>/<op>.h (of linear, project and mlp in gemm, of add in pointwise, of l2_normalize in
// similarity).
//
// B: batch, S: sequence, C: width, E: embedding. Activations are f32 or bf16; a product reads the parameter's
// copy in the activations' dtype. All throw InputError on wrong shapes.
#pragma once

#include <array>
#include <optional>

#include "core/parameter.h"
#include "core/tape.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip {
struct PackedWeight;
}

namespace cuclip::ops {

/// x · weightᵀ + bias: x [..., K], weight [N, K], bias [N] → [..., N], in x's dtype or in f32.
Tensor linear(Tape& tape, const Tensor& x, Parameter& weight, Parameter& bias,
              std::optional<DType> out = std::nullopt);

/// x · weight with an f32 result: x [B, K], weight [K, N] → f32 [B, N]. CLIP's projections.
Tensor project(Tape& tape, const Tensor& x, Parameter& weight);

/// act(x · fcᵀ + fc_bias) · projᵀ + proj_bias: the transformer's feed-forward layer.
struct MlpParameters {
  Parameter& fc_weight;
  Parameter& fc_bias;
  Parameter& proj_weight;
  Parameter& proj_bias;
};
Tensor mlp(Tape& tape, const Tensor& x, const MlpParameters& p, Activation activation);

/// Layer normalisation over the last dimension.
Tensor layer_norm(Tape& tape, const Tensor& x, Parameter& weight, Parameter& bias, float eps = 1e-5f);

/// sum = x + delta, normalised = layer_norm(sum): the residual addition fused into the norm that follows it.
struct SumAndNorm {
  Tensor sum;
  Tensor normalised;
};
SumAndNorm residual_layer_norm(Tape& tape, const Tensor& x, const Tensor& delta, Parameter& weight,
                               Parameter& bias, float eps = 1e-5f);

/// Batch normalisation over all dimensions but the last, with an optional residual addition and ReLU behind
/// it: relu(normalised x + residual). It normalises by the batch's statistics, and moves the running ones
/// unless `update_statistics` is off, as it has to be when the same batch is computed again.
struct BatchNormParameters {
  Parameter& weight;                 // [C]
  Parameter& bias;                   // [C]
  Tensor running_mean, running_var;  // f32 [C]
  bool update_statistics = true;
};
Tensor batch_norm(Tape& tape, const Tensor& x, const BatchNormParameters& p, bool relu,
                  const Tensor& residual = {});

/// The mean over windows of k x k that do not overlap: x [B, H, W, C] → [B, H / k, W / k, C], rounded down.
Tensor avg_pool2d(Tape& tape, const Tensor& x, int64_t k);

/// a + b.
Tensor add(Tape& tape, const Tensor& a, const Tensor& b);

/// Multi-head self-attention over packed queries, keys and values: qkv [B, S, 3C] → [B, S, C].
Tensor attention(Tape& tape, const Tensor& qkv, int64_t heads, bool causal);

/// Pictures as activations (kernels/pixels): image u8 [B, H, W, 3], normalised with mean and stddev, or f32
/// [B, 3, H, W], which are → [B, H, W, 3] in `dtype`. They get no gradient.
Tensor pixels(Tape& tape, const Tensor& image, const std::array<float, 3>& mean,
              const std::array<float, 3>& stddev, DType dtype);

/// Patches, class token and positions: image u8 [B, H, W, 3] (normalised with mean and stddev on the way) or
/// f32 [B, 3, H, W] → [B, 1 + patches, C] in `dtype`.
struct PatchEmbedParameters {
  Parameter& weight;       // [C, 3, p, p]
  Parameter& class_token;  // [C]
  Parameter& position;     // [1 + patches, C]
  std::array<float, 3> mean, stddev;
};
Tensor patch_embed(Tape& tape, const Tensor& image, const PatchEmbedParameters& p, DType dtype);

/// Convolution without bias: x [N, H, W, Cin], weight [Cout, K, K, Cin] → [N, OH, OW, Cout].
Tensor conv2d(Tape& tape, const Tensor& x, const Parameter& weight, int64_t stride, int64_t padding);

/// The convolution and, in the same pass, the batch normalisation behind it by running statistics: relu(
/// normalised convolution + residual). Throws InputError if the tape records. `kept`: of Conv2dForward.
Tensor conv2d_inference(Tape& tape, const Tensor& x, const Parameter& weight, int64_t stride, int64_t padding,
                        const BatchNormParameters& norm, bool relu, const Tensor& residual = {},
                        PackedWeight* kept = nullptr);

/// Token and position embeddings: tokens i32 [B, S] → [B, S, C] in `dtype`.
Tensor token_embed(Tape& tape, const Tensor& tokens, Parameter& table, Parameter& position, DType dtype);

/// Rows of each sequence: x [B, S, C] → [B, C], row index[b] (i32 [B]), or row 0 if no index is given; with
/// index i32 [B, K], ascending in each sequence, → [B, K, C].
Tensor pool(Tape& tape, const Tensor& x, const Tensor& index);

/// The mean of each sequence in front of it, and positions [S + 1, C] on all: x [B, S, C] → [B, S + 1, C].
Tensor mean_token(Tape& tape, const Tensor& x, Parameter& positions);

/// Attention of one query for each head: q [B, C], keys and values side by side kv [B, S, 2C] → [B, C].
Tensor attention_pool(Tape& tape, const Tensor& q, const Tensor& kv, int64_t heads);

/// Rows to unit length: x [N, E].
Tensor l2_normalize(Tape& tape, const Tensor& x);

/// CLIP's loss over unit-length features [N, E]: scalar f32 [1]. log_scale is the learned temperature t. With
/// words i32 [N, 4], a set of 128 bits for each pair, pairs of which one's set contains the other's are not
/// told apart.
Tensor contrastive_loss(Tape& tape, const Tensor& image, const Tensor& text, Parameter& log_scale,
                        const Tensor& words = {});

}  // namespace cuclip::ops
