// Convolutions of the first and second stages of a residual network on two pictures of 224 pixels (56 and 28
// positions a side), forward and backward. Activations are the pictures and their gradients. The least
// traffic is that of the tiles, 128 x 128 or, for up to 64 channels, 256 x 64: for each tile's channels of
// the result the pixels of its positions once, with those around them that its windows read besides (K = 3:
// 2 (W + 1) more), and the result once. The weight's gradient, in tiles of 64 x 128 for up to 64 channels of
// y, reads x once for each of its K² taps and for each tile's channels of y, and y once for each tile's
// elements of a window: there a tile has but one or two taps, which share nothing.
#include "kernels/conv2d/conv2d.h"

#include <algorithm>

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

struct Tile {
  int64_t rows = 128, columns = 128;

  // Of a product of so many rows and columns: the useful share of the work, at least.
  double least_useful(int64_t m, int64_t n) const {
    const auto whole = [](int64_t extent, int64_t side) {
      return static_cast<double>(extent) / static_cast<double>(round_up(extent, side));
    };
    return std::max(0.9, 0.99 * whole(m, rows) * whole(n, columns));
  }
};

struct Layer {
  const char* name;
  int64_t side, channels, outputs, kernel;
  DType dtype = DType::bf16;

  static constexpr int64_t kBatch = 2;
  int64_t positions() const { return kBatch * side * side; }
  double size() const { return static_cast<double>(size_of(dtype)); }
  double flop() const {
    return 2.0 * static_cast<double>(positions() * outputs * kernel * kernel * channels);
  }
  // Of windows of `read` channels for results of `written`.
  Bounds bounds(int64_t read, int64_t written) const {
    const Tile tile = written <= 64 ? Tile{256, 64} : Tile{};
    const int64_t tiles = ceil_div(positions(), tile.rows), around = tiles * (kernel - 1) * (side + 1);
    const int64_t pixels = positions() + around;
    return {.activation_bytes = size() * static_cast<double>(ceil_div(written, tile.columns) * pixels * read +
                                                             positions() * written),
            .most_traffic = 1.05,
            .useful_flop = flop(),
            .least_useful = tile.least_useful(positions(), written),
            .vectors_only = false,  // the weight is put into another order element by element
            .tf32 = dtype == DType::f32};
  }
};

void count(Counts& counts, const Layer& l) {
  const auto x = [&] {
    return counts.tensor(Role::activation, {Layer::kBatch, l.side, l.side, l.channels}, l.dtype);
  };
  const auto y = [&] {
    return counts.tensor(Role::activation, {Layer::kBatch, l.side, l.side, l.outputs}, l.dtype);
  };
  const auto weight = [&](DType dtype) {
    return counts.tensor(Role::parameter, {l.outputs, l.kernel, l.kernel, l.channels}, dtype);
  };
  const int64_t padding = l.kernel / 2;
  const Conv2dForward forward{.x = x(), .weight = weight(l.dtype), .y = y(), .padding = padding};
  Bounds least = l.bounds(l.channels, l.outputs);
  least.vectors_only = true;
  counts.run(fmt::format("conv2d forward, {}", l.name), least,
             [&](const ExecContext& ctx) { conv2d_forward(forward, ctx); });

  const Conv2dBackward data{.x = x(), .weight = weight(l.dtype), .dy = y(), .dx = x(), .padding = padding};
  counts.run(fmt::format("conv2d gradient of x, {}", l.name), l.bounds(l.outputs, l.channels),
             [&](const ExecContext& ctx) { conv2d_backward(data, ctx); });

  const Conv2dBackward weights{
      .x = x(), .weight = weight(l.dtype), .dy = y(), .dweight = weight(DType::f32), .padding = padding};
  const int64_t elements = l.kernel * l.kernel * l.channels;
  const Tile tile = l.outputs <= 64 ? Tile{64, 128} : elements <= 64 ? Tile{256, 64} : Tile{};
  counts.run(fmt::format("conv2d gradient of the weight, {}", l.name),
             {.activation_bytes = l.size() * static_cast<double>(l.positions()) *
                                  static_cast<double>(ceil_div(l.outputs, tile.rows) * elements +
                                                      ceil_div(elements, tile.columns) * l.outputs),
              .most_traffic = 1.05,
              .useful_flop = l.flop(),
              .least_useful = tile.least_useful(l.outputs, elements),
              .tf32 = l.dtype == DType::f32},
             [&](const ExecContext& ctx) { conv2d_backward(weights, ctx); });
}

}  // namespace

void count_conv2d(Counts& counts) {
  count(counts, {"64 to 64, K = 3", 56, 64, 64, 3});
  count(counts, {"64 to 64, K = 3, tf32", 56, 64, 64, 3, DType::f32});
  count(counts, {"256 to 64, K = 1", 56, 256, 64, 1});
  count(counts, {"64 to 256, K = 1", 56, 64, 256, 1});
  count(counts, {"128 to 128, K = 3", 28, 128, 128, 3});
  count(counts, {"128 to 128, K = 3, tf32", 28, 128, 128, 3, DType::f32});
  count(counts, {"512 to 128, K = 1", 28, 512, 128, 1});
}

}  // namespace cuclip::test
