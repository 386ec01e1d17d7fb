#include "models/clip/text_transformer.h"

#include <algorithm>
#include <cstring>

namespace cuclip {
namespace {

// The position of the largest id: the end of text.
int64_t end_of_text(const int32_t* row, int64_t columns) {
  return std::max_element(row, row + columns) - row;
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

TextTransformer::TextTransformer(ParameterStore& store, const ClipConfig& config)
    : transformer_(store, "transformer.", config.text.width, config.text.layers, config.text.heads,
                   config.text.mlp_width(), config.quick_gelu ? Activation::quick_gelu : Activation::gelu,
                   true),
      token_embedding_(store.add("token_embedding.weight", {config.text.vocab_size, config.text.width})),
      position_(store.add("positional_embedding", {config.text.context_length, config.text.width})),
      ln_final_weight_(store.add("ln_final.weight", {config.text.width})),
      ln_final_bias_(store.add("ln_final.bias", {config.text.width})),
      projection_(store.add("text_projection", {config.text.width, config.embed_dim})) {}

Tensor TextTransformer::forward(Tape& tape, const TextInput& text, DType dtype, bool checkpointing) const {
  const Tensor x = ops::token_embed(tape, text.tokens, token_embedding_, position_, dtype);
  const Stream out = transformer_.forward_pooled(tape, x, text.end, checkpointing);
  const Tensor pooled =
      ops::residual_layer_norm(tape, out.x, out.delta, ln_final_weight_, ln_final_bias_).normalised;
  return ops::project(tape, pooled, projection_);
}

Tensor TextTransformer::hidden_states(Tape& tape, const Tensor& tokens, DType dtype) const {
  check_tensor("text: tokens", tokens, DType::i32, {tokens.size(0), position_.shape[0]});
  const Tensor x = ops::token_embed(tape, tokens.to(tape.context()), token_embedding_, position_, dtype);
  const Stream out = transformer_.forward(tape, x, false);
  return ops::residual_layer_norm(tape, out.x, out.delta, ln_final_weight_, ln_final_bias_).normalised;
}

}  // namespace cuclip
