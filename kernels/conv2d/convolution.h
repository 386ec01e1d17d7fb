// oneDNN's convolutions of some pictures, on the calling thread: what the tasks of conv2d_cpu.cpp run.
#pragma once

#include <oneapi/dnnl/dnnl.hpp>

#include "kernels/common/dtype.h"
#include "kernels/conv2d/conv2d_shape.h"

namespace cuclip {

/// y from x, dx from dy, or dweight from both.
enum class ConvolutionPass : uint8_t { forward, data, weights };

struct ConvolutionSpec {
  ConvolutionPass pass;
  Conv2dShape shape;
  int64_t pictures;  // of this convolution, whatever the shape's batch is
  DType dtype;       // of what it reads, but the bias, and of y and dx; dweight is f32
  bool bias = false;
  bool accumulate = false;  // forward: y is read, and added to before it is rounded
  int64_t like = 0;         // the weight's order is that of a convolution of so many pictures
};

/// One convolution, whose weight, or its gradient, is in an order of oneDNN's. May be copied, and run by
/// several threads at once. All throw Error with oneDNN's reason.
class Convolution {
 public:
  /// Made once for each thread that asks.
  static Convolution find(const ConvolutionSpec& spec);

  size_t weight_bytes() const { return weight_.get_size(); }
  size_t scratchpad_bytes() const { return scratchpad_.get_size(); }

  /// `ordered` gets the weight, [Cout, K, K, Cin] of the spec's dtype, in oneDNN's order.
  void order_weight(const void* weight, void* ordered) const;
  /// dweight, [Cout, K, K, Cin], += `ordered`.
  void add_ordered(const float* ordered, float* dweight) const;

  /// Reads and writes as the pass says; `weight` is in oneDNN's order, and is written by the pass for it.
  /// `bias` is read where the spec has one.
  void run(const void* x, const void* weight, const float* bias, const void* y, void* scratchpad) const;

 private:
  explicit Convolution(const ConvolutionSpec& spec);
  ConvolutionPass pass_;
  bool has_bias_;
  dnnl::memory::desc x_, weight_, bias_, y_, scratchpad_, plain_weight_;
  dnnl::primitive primitive_;
  dnnl::primitive reorder_;  // to oneDNN's order, or adding from it
};

}  // namespace cuclip
