#include "models/clip/transformer.h"

namespace cuclip {

TransformerBlock::TransformerBlock(ParameterStore& store, const std::string& prefix, int64_t width,
                                   int64_t heads, int64_t mlp_width, Activation activation, bool causal)
    : heads_(heads),
      activation_(activation),
      causal_(causal),
      ln_1_weight_(store.add(prefix + "ln_1.weight", {width})),
      ln_1_bias_(store.add(prefix + "ln_1.bias", {width})),
      in_weight_(store.add(prefix + "attn.in_proj_weight", {3 * width, width})),
      in_bias_(store.add(prefix + "attn.in_proj_bias", {3 * width})),
      out_weight_(store.add(prefix + "attn.out_proj.weight", {width, width})),
      out_bias_(store.add(prefix + "attn.out_proj.bias", {width})),
      ln_2_weight_(store.add(prefix + "ln_2.weight", {width})),
      ln_2_bias_(store.add(prefix + "ln_2.bias", {width})),
      mlp_{store.add(prefix + "mlp.c_fc.weight", {mlp_width, width}),
           store.add(prefix + "mlp.c_fc.bias", {mlp_width}),
           store.add(prefix + "mlp.c_proj.weight", {width, mlp_width}),
           store.add(prefix + "mlp.c_proj.bias", {width})} {
  CUCLIP_CHECK(width % heads == 0, "transformer: width {} is not a multiple of {} heads", width, heads);
}

Residual TransformerBlock::finish(Tape& tape, const Tensor& x, const Tensor& attended) const {
  const Tensor projected = ops::linear(tape, attended, out_weight_, out_bias_);
  const auto [sum, normalised] = ops::residual_layer_norm(tape, x, projected, ln_2_weight_, ln_2_bias_);
  return {sum, ops::mlp(tape, normalised, mlp_, activation_)};
}

namespace {

// The residual stream's value and its norm; the addition is fused where there is one.
ops::SumAndNorm add_and_norm(Tape& tape, const Residual& in, Parameter& weight, Parameter& bias) {
  if (in.delta) return ops::residual_layer_norm(tape, in.x, in.delta, weight, bias);
  return {in.x, ops::layer_norm(tape, in.x, weight, bias)};
}

}  // namespace

Residual TransformerBlock::forward(Tape& tape, const Residual& in) const {
  const auto [x, normalised] = add_and_norm(tape, in, ln_1_weight_, ln_1_bias_);
  const Tensor qkv = ops::linear(tape, normalised, in_weight_, in_bias_);
  return finish(tape, x, ops::attention(tape, qkv, heads_, causal_));
}

Residual TransformerBlock::forward_pooled(Tape& tape, const Residual& in, const Tensor& index) const {
  const auto [x, normalised] = add_and_norm(tape, in, ln_1_weight_, ln_1_bias_);
  const Tensor qkv = ops::linear(tape, normalised, in_weight_, in_bias_);
  const Tensor attended = ops::attention(tape, qkv, heads_, causal_);
  return finish(tape, ops::pool(tape, x, index), ops::pool(tape, attended, index));
}

Transformer::Transformer(ParameterStore& store, const std::string& prefix, int64_t width, int64_t layers,
                         int64_t heads, int64_t mlp_width, Activation activation, bool causal) {
  CUCLIP_CHECK(layers >= 1, "transformer: layers must be at least 1, got {}", layers);
  for (int64_t i = 0; i < layers; ++i) {
    blocks_.emplace_back(store, fmt::format("{}resblocks.{}.", prefix, i), width, heads, mlp_width,
                         activation, causal);
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

Residual Transformer::forward(Tape& tape, const Tensor& x, bool recomputation) const {
  return run(tape, x, blocks_.size(), recomputation);
}

Residual Transformer::forward_pooled(Tape& tape, const Tensor& x, const Tensor& index,
                                     bool recomputation) const {
  return blocks_.back().forward_pooled(tape, run(tape, x, blocks_.size() - 1, recomputation), index);
}

}  // namespace cuclip
