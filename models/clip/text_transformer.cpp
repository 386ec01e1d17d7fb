#include "models/clip/text_transformer.h"

#include <algorithm>
#include <cstring>

namespace cuclip {
namespace {

// The position of the largest id: the end of text.
int64_t end_of_text(const int32_t* row, int64_t columns) {
  return std::max_element(row, row + columns) - row;
}

BlockShape block_shape(const ClipConfig& config) {
  const ClipConfig::Text& t = config.text;
  const float attention = inverse_sqrt(t.width);
  const float residual = attention * inverse_sqrt(2 * t.layers);
  return {.width = t.width,
          .heads = t.heads,
          .mlp_width = t.mlp_width(),
          .activation = config.quick_gelu ? Activation::quick_gelu : Activation::gelu,
          .causal = true,
          .initialisers = {.attention_in = Initialiser::normal(attention),
                           .attention_out = Initialiser::normal(residual),
                           .mlp_fc = Initialiser::normal(inverse_sqrt(2 * t.width)),
                           .mlp_proj = Initialiser::normal(residual)}};
}

}  // namespace

int64_t used_length(const Tensor& tokens) {
  const int64_t columns = tokens.size(1);
  int64_t longest = 1;
  for (int64_t r = 0; r < tokens.size(0); ++r) {
    longest = std::max(longest, end_of_text(tokens.data<int32_t>() + r * columns, columns) + 1);
  }
  return longest;
}

TextInput trim_text(Context& context, const Tensor& tokens, int64_t multiple) {
  const int64_t rows = tokens.size(0), columns = tokens.size(1);
  const int32_t* in = tokens.data<int32_t>();
  Tensor end = Tensor::empty(context, {rows}, DType::i32);
  for (int64_t r = 0; r < rows; ++r) {
    end.data<int32_t>()[r] = static_cast<int32_t>(end_of_text(in + r * columns, columns));
  }
  const int64_t length = std::min(round_up(used_length(tokens), multiple), columns);
  Tensor out = Tensor::empty(context, {rows, length}, DType::i32);
  for (int64_t r = 0; r < rows; ++r) {
    std::memcpy(out.data<int32_t>() + r * length, in + r * columns,
                static_cast<size_t>(length) * sizeof(int32_t));
  }
  return {out, end};
}

TextTransformer::TextTransformer(const ParameterScope& scope, const ClipConfig& config)
    : transformer_(scope.inner("transformer."), config.text.layers, block_shape(config)),
      token_embedding_(scope.add("token_embedding.weight", {config.text.vocab_size, config.text.width},
                                 ParameterRole::embedding, Initialiser::normal(0.02f))),
      position_(scope.add("positional_embedding", {config.text.context_length, config.text.width},
                          ParameterRole::position, Initialiser::normal(0.01f))),
      ln_final_(scope, "ln_final", config.text.width),
      projection_(scope.add("text_projection", {config.text.width, config.embed_dim}, ParameterRole::weight,
                            Initialiser::normal(inverse_sqrt(config.text.width)))) {}

Tensor TextTransformer::pooled(Tape& tape, const TextInput& text, DType dtype, bool recomputation) const {
  const Tensor x = ops::token_embed(tape, text.tokens, token_embedding_, position_, dtype);
  const Residual out = transformer_.forward_pooled(tape, x, text.end, recomputation);
  return ops::residual_layer_norm(tape, out.x, out.delta, ln_final_.weight, ln_final_.bias).normalised;
}

Tensor TextTransformer::forward(Tape& tape, const TextInput& text, DType dtype, bool recomputation) const {
  return ops::project(tape, pooled(tape, text, dtype, recomputation), projection_);
}

Tensor TextTransformer::hidden_states(Tape& tape, const Tensor& tokens, DType dtype,
                                      const HiddenStateOptions& options) const {
  check_tensor("text: tokens", tokens, DType::i32, {tokens.size(0), position_.shape[0]});
  const Tensor x = ops::token_embed(tape, tokens.to(tape.context()), token_embedding_, position_, dtype);
  const Residual out = transformer_.forward(tape, x, false, options.layer == TextLayer::penultimate ? 1 : 0);
  if (!options.final_norm) return out.delta ? ops::add(tape, out.x, out.delta) : out.x;
  return ops::residual_layer_norm(tape, out.x, out.delta, ln_final_.weight, ln_final_.bias).normalised;
}

}  // namespace cuclip
