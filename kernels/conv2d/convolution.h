// oneDNN's convolutions of a part of the batch, on the calling thread: what the tasks of conv2d_cpu.cpp and
// conv2d_backward_cpu.cpp run.
#pragma once

#include <atomic>
#include <memory>
#include <oneapi/dnnl/dnnl.hpp>
#include <vector>

#include "kernels/common/dtype.h"
#include "kernels/common/exec_context.h"
#include "kernels/common/rounding.h"
#include "kernels/common/tensor_view.h"
#include "kernels/conv2d/conv2d_shape.h"

namespace cuclip {

/// y from x, dx from dy, or dweight from both.
enum class ConvolutionPass : uint8_t { forward, data, weights };

/// What a convolution takes of the batch: some whole pictures, or rows of one.
struct Part {
  int64_t pictures;
  int64_t height, out_height;  // of x and of y
  int64_t top, bottom;         // the padding
};

inline Part whole_pictures(const Conv2dShape& s, int64_t pictures) {
  return {pictures, s.height, s.out_height, s.padding, s.padding};
}

struct ConvolutionSpec {
  ConvolutionPass pass;
  Conv2dShape shape;
  Part part;
  Part like{};             // the weight's order is that of a convolution of this part
  DType dtype;             // of what it reads, and of dx; dweight is f32
  DType out = DType::f32;  // forward: of y
  // In the pass for data: of each tap of the weight, of which the shape has some. 0: the same.
  int64_t weight_channels = 0;
};

inline std::byte* element(const TensorView& view, int64_t index) {
  return static_cast<std::byte*>(view.data) + static_cast<size_t>(index) * size_of(view.dtype);
}

/// Whether oneDNN's code for SSE may read and write the tensor.
inline bool vector_aligned(const TensorView& view) {
  return reinterpret_cast<uintptr_t>(view.data) % 16 == 0;
}

/// What a part of scratch takes, so that the next one is aligned too.
inline int64_t aligned(size_t bytes) {
  return static_cast<int64_t>(round_up(bytes, size_t{Scratch::kAlignment}));
}

/// One convolution, whose weight, or its gradient, is in an order of oneDNN's. May be copied, and run by
/// several threads at once. All throw Error with oneDNN's reason.
class Convolution {
 public:
  /// Made once for each thread that asks.
  static Convolution find(const ConvolutionSpec& spec);

  size_t weight_bytes() const { return weight_.get_size(); }
  const dnnl::memory::desc& weight_order() const { return weight_; }
  size_t scratchpad_bytes() const { return scratchpad_.get_size(); }

  /// `packed` gets a piece of the weight, [Cout, K, K, Cin] of the spec's dtype, in oneDNN's order; of a part
  /// of Cin if the spec has one, from `weight`, the first of them, on. Threads may do a piece each.
  int64_t pack_pieces() const { return std::ssize(pieces_); }
  void pack_weight(const void* weight, void* packed, int64_t piece) const;
  /// dweight, [Cout, K, K, Cin], += `packed`.
  void add_packed(const float* packed, float* dweight) const;

  /// Reads and writes as the pass says; `weight` is in oneDNN's order, and is written by the pass for it.
  void run(const void* x, const void* weight, const void* y, void* scratchpad) const;

 private:
  explicit Convolution(const ConvolutionSpec& spec);
  void make_pieces(const ConvolutionSpec& spec);

  // Some of Cout of the weight, in our order and in oneDNN's.
  struct Piece {
    dnnl::memory::desc plain, packed;
    dnnl::primitive reorder;  // to oneDNN's order, or adding from it
  };
  ConvolutionPass pass_;
  dnnl::memory::desc x_, weight_, y_, scratchpad_;
  dnnl::primitive primitive_;
  std::vector<Piece> pieces_;
};

/// In each order that has been asked for: convolutions of other parts may want others. Copies are added and
/// never taken away, so that reading them needs no lock.
struct PackedWeight {
  struct Copy {
    dnnl::memory::desc order;
    Scratch memory{};
    const void* weight = nullptr;  // in the memory
    std::unique_ptr<Copy> next{};
  };

  PackedWeight() = default;
  PackedWeight(const PackedWeight&) = delete;
  PackedWeight& operator=(const PackedWeight&) = delete;
  ~PackedWeight() { delete newest.load(); }

  /// The weight in this order; null if there is no copy in it yet.
  const void* find(const dnnl::memory::desc& order) const;
  /// Adds a copy and returns its weight. When another thread has added one in the same order meanwhile, both
  /// are kept.
  const void* add(std::unique_ptr<Copy> copy);

  std::atomic<Copy*> newest = nullptr;
};

}  // namespace cuclip
