#include "models/clip/transformer.h"

#include <algorithm>

namespace cuclip {

namespace {

using Role = ParameterRole;

ops::MlpParameters add_mlp(const ParameterScope& scope, const BlockShape& s) {
  return {scope.add("c_fc.weight", {s.mlp_width, s.width}, Role::weight, s.initialisers.mlp_fc),
          scope.add("c_fc.bias", {s.mlp_width}, Role::bias, Initialiser::fan_in(s.width)),
          scope.add("c_proj.weight", {s.width, s.mlp_width}, Role::weight, s.initialisers.mlp_proj),
          scope.add("c_proj.bias", {s.width}, Role::bias, Initialiser::fan_in(s.mlp_width))};
}

}  // namespace

NormParameters::NormParameters(const ParameterScope& scope, const std::string& prefix, int64_t width)
    : weight(scope.add(prefix + ".weight", {width}, Role::norm, Initialiser::ones())),
      bias(scope.add(prefix + ".bias", {width}, Role::norm, Initialiser::zeros())) {}

TransformerBlock::TransformerBlock(const ParameterScope& scope, const BlockShape& s)
    : heads_(s.heads),
      activation_(s.activation),
      causal_(s.causal),
      ln_1_(scope, "ln_1", s.width),
      in_weight_(scope.add("attn.in_proj_weight", {3 * s.width, s.width}, Role::weight,
                           s.initialisers.attention_in)),
      in_bias_(scope.add("attn.in_proj_bias", {3 * s.width}, Role::bias, Initialiser::zeros())),
      out_weight_(
          scope.add("attn.out_proj.weight", {s.width, s.width}, Role::weight, s.initialisers.attention_out)),
      out_bias_(scope.add("attn.out_proj.bias", {s.width}, Role::bias, Initialiser::zeros())),
      ln_2_(scope, "ln_2", s.width),
      mlp_(add_mlp(scope.inner("mlp."), s)) {
  CUCLIP_CHECK(s.width % s.heads == 0, "transformer: width {} is not a multiple of {} heads", s.width,
               s.heads);
}

Residual TransformerBlock::finish(Tape& tape, const Tensor& x, const Tensor& attended) const {
  const Tensor projected = ops::linear(tape, attended, out_weight_, out_bias_);
  const auto [sum, normalised] = ops::residual_layer_norm(tape, x, projected, ln_2_.weight, ln_2_.bias);
  return {sum, ops::mlp(tape, normalised, mlp_, activation_)};
}

namespace {

// The residual stream's value and its norm; the addition is fused where there is one.
ops::SumAndNorm add_and_norm(Tape& tape, const Residual& in, const NormParameters& norm) {
  if (in.delta) return ops::residual_layer_norm(tape, in.x, in.delta, norm.weight, norm.bias);
  return {in.x, ops::layer_norm(tape, in.x, norm.weight, norm.bias)};
}

}  // namespace

Residual TransformerBlock::forward(Tape& tape, const Residual& in) const {
  const auto [x, normalised] = add_and_norm(tape, in, ln_1_);
  const Tensor qkv = ops::linear(tape, normalised, in_weight_, in_bias_);
  return finish(tape, x, ops::attention(tape, qkv, heads_, causal_));
}

Residual TransformerBlock::forward_pooled(Tape& tape, const Residual& in, const Tensor& index) const {
  const auto [x, normalised] = add_and_norm(tape, in, ln_1_);
  const Tensor qkv = ops::linear(tape, normalised, in_weight_, in_bias_);
  const Tensor attended = ops::attention(tape, qkv, heads_, causal_);
  return finish(tape, ops::pool(tape, x, index), ops::pool(tape, attended, index));
}

Transformer::Transformer(const ParameterScope& scope, int64_t layers, const BlockShape& shape) {
  CUCLIP_CHECK(layers >= 1, "transformer: layers must be at least 1, got {}", layers);
  for (int64_t i = 0; i < layers; ++i) {
    blocks_.emplace_back(scope.inner(fmt::format("resblocks.{}.", i)), shape);
  }
}

Residual Transformer::run(Tape& tape, const Tensor& x, size_t blocks, bool recomputation) const {
  Residual residual{x, Tensor()};
  for (size_t i = 0; i < blocks; ++i) {
    const TransformerBlock& block = blocks_[i];
    if (!recomputation) {
      residual = block.forward(tape, residual);
      continue;
    }
    std::vector<Tensor> inputs{residual.x};
    if (residual.delta) inputs.push_back(residual.delta);
    const auto outputs = recompute(tape, inputs, [&block](Tape& t, const std::vector<Tensor>& in) {
      const Residual out = block.forward(t, {in[0], in.size() > 1 ? in[1] : Tensor()});
      return std::vector<Tensor>{out.x, out.delta};
    });
    residual = {outputs[0], outputs[1]};
  }
  return residual;
}

Residual Transformer::forward(Tape& tape, const Tensor& x, bool recomputation, size_t left_out) const {
  return run(tape, x, blocks_.size() - std::min(left_out, blocks_.size()), recomputation);
}

Residual Transformer::forward_pooled(Tape& tape, const Tensor& x, const Tensor& index,
                                     bool recomputation) const {
  return blocks_.back().forward_pooled(tape, run(tape, x, blocks_.size() - 1, recomputation), index);
}

}  // namespace cuclip
