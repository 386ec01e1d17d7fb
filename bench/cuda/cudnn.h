// cuDNN's plans for the operations that it has, over the tensors of the benchmarks as they lie: nothing is
// copied or transposed for it. Through the graphs of cudnn-frontend; the library is loaded when the first
// plan is made.
#pragma once

#include <memory>
#include <string>

#include "bench/cuda/operation.h"

namespace cuclip::bench {

/// kernels/attention/attention.h's, named as there: qkv, out, lse, dout, dqkv.
struct CudnnAttention {
  int64_t batch, length, heads, head_dim;
  bool causal, backward;
};

/// kernels/layer_norm/layer_norm.h's without a residual: x, weight, bias, y, mean, rstd, dy, dx, dweight,
/// dbias. The parameters' gradients are overwritten.
struct CudnnLayerNorm {
  int64_t rows, width;
  bool backward;
};

enum class ConvolutionPass : uint8_t { forward, data_gradient, weight_gradient };

/// kernels/conv2d/conv2d.h's: x, weight, y, dy, dx, dweight. The weight's gradient is overwritten, and of the
/// activations' type: cuDNN has none of bf16 in f32.
struct CudnnConvolution {
  int64_t batch, height, width, channels, outputs, kernel, stride, padding;
  ConvolutionPass pass;
  std::string dweight = "dweight";  // the tensor that it is written to
};

/// "9.19.0", or why there is none.
std::string cudnn_version();

/// The contestant "cudnn", which refuses with cuDNN's own words.
Contestant cudnn(const CudnnAttention& problem);
Contestant cudnn(const CudnnLayerNorm& problem);
Contestant cudnn(const CudnnConvolution& problem);

}  // namespace cuclip::bench
