// The operations that are measured, by source file: tensors, useful FLOP, contestants and reference.
#pragma once

#include "bench/cuda/cudnn.h"
#include "bench/cuda/operation.h"

namespace cuclip::bench {

/// A transformer: `batch` sequences of `length` tokens.
struct Tower {
  int64_t batch, length, width, head_dim;
  bool causal = false;

  int64_t heads() const { return width / head_dim; }
  int64_t rows() const { return batch * length; }
};

struct Pictures {
  int64_t batch, side, patch, width;

  int64_t patches() const { return (side / patch) * (side / patch); }
};

struct Convolution {
  int64_t batch, side, channels, outputs, kernel, stride, padding;

  int64_t out() const { return (side + 2 * padding - kernel) / stride + 1; }
};

struct Pairs {
  int64_t count, width;
};

/// Over packed qkv. A causal mask halves the FLOP.
Operation attention_forward(const Tower& tower, Precision precision);
Operation attention_backward(const Tower& tower, Precision precision);

Operation layer_norm_forward(const Tower& tower, Precision precision);
Operation layer_norm_backward(const Tower& tower, Precision precision);

/// The projection to q, k and v with its bias; the MLP's first product with bias and GELU, which keeps what
/// the GELU was of; the gradient that the MLP's second product sends through the GELU; and the gradient of
/// the first one's weight and bias.
Operation linear_bias(const Tower& tower, Precision precision);
Operation linear_gelu(const Tower& tower, Precision precision);
Operation linear_gelu_gradient(const Tower& tower, Precision precision);
Operation linear_weight_gradient(const Tower& tower, Precision precision);

/// At a scale of 100.
Operation contrastive_loss_forward(const Pairs& pairs, Precision precision);
Operation contrastive_loss_backward(const Pairs& pairs, Precision precision);

/// Of u8 pictures: normalised, class token and positions added.
Operation patch_embed_forward(const Pictures& pictures, Precision precision);

Operation convolution(const Convolution& shape, ConvolutionPass pass, Precision precision);

}  // namespace cuclip::bench
