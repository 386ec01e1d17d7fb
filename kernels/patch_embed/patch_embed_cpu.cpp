// CPU patch embedding: the patches of a few pictures are gathered into scratch (normalised on the way),
// multiplied with the weight there, and written out with their positions. The whole batch's patches never
// exist at once.
#include "kernels/common/simd_targets.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/patch_embed/patch_embed_cpu.cpp"
#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"
#include "kernels/patch_embed/patch_embed_cpu.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {

// to = a + b
template <typename T>
void add_rows(const float* a, const float* b, int64_t n, T* to) {
  int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) store(hn::Add(load(a + i), load(b + i)), to + i);
  if (i < n) store_n(hn::Add(load_n(a + i, n - i), load_n(b + i, n - i)), to + i, n - i);
}

void AddRows(const float* a, const float* b, int64_t n, void* to, DType dtype) {
  dtype == DType::bf16 ? add_rows(a, b, n, static_cast<bfloat16*>(to))
                       : add_rows(a, b, n, static_cast<float*>(to));
}

// to += from
template <typename T>
void accumulate(const T* from, int64_t n, float* to) {
  int64_t i = 0;
  for (; i + lanes() <= n; i += lanes()) store(hn::Add(load(to + i), load(from + i)), to + i);
  if (i < n) store_n(hn::Add(load_n(to + i, n - i), load_n(from + i, n - i)), to + i, n - i);
}

void Accumulate(const void* from, DType dtype, int64_t n, float* to) {
  dtype == DType::bf16 ? accumulate(static_cast<const bfloat16*>(from), n, to)
                       : accumulate(static_cast<const float*>(from), n, to);
}

}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <cstring>

#include "kernels/common/scratch_plan.h"
#include "kernels/gemm/tile_product.h"

namespace cuclip {

HWY_EXPORT(AddRows);
HWY_EXPORT(Accumulate);

namespace {

constexpr int64_t kTileRows = 256;  // patches that are multiplied together (see kernels/gemm/gemm_cpu.cpp)
constexpr int64_t kGradientSlices = 8;  // parts of the batch whose gradients are summed apart, then in order

// The geometry of a batch of pictures, and how to read their patches.
struct Pictures {
  TensorView image;
  int64_t batch, height, columns, patch, per_picture, length;  // length: values of a patch
  float normalised[3][256];                                    // of each channel's byte values

  Pictures(const TensorView& image, int64_t patch, const std::array<float, 3>& mean,
           const std::array<float, 3>& stddev)
      : image(image),
        batch(image.size(0)),
        height(image.size(image.dtype == DType::u8 ? 1 : 2)),
        columns(image.size(image.dtype == DType::u8 ? 2 : 3)),
        patch(patch),
        per_picture((height / patch) * (columns / patch)),
        length(3 * patch * patch) {
    for (size_t c = 0; c < 3; ++c) {
      for (int v = 0; v < 256; ++v) normalised[c][v] = (static_cast<float>(v) / 255.0f - mean[c]) / stddev[c];
    }
  }

  // One row of one channel of a patch: patch pixels from (y, x) of picture b.
  template <typename T>
  void copy_row(int64_t b, int64_t channel, int64_t y, int64_t x, T* to) const {
    if (image.dtype == DType::u8) {
      const uint8_t* from = image.as<uint8_t>() + ((b * height + y) * columns + x) * 3 + channel;
      const float* values = normalised[channel];
      for (int64_t i = 0; i < patch; ++i) to[i] = T(values[from[3 * i]]);
    } else {
      const float* from = image.as<float>() + ((b * 3 + channel) * height + y) * columns + x;
      for (int64_t i = 0; i < patch; ++i) to[i] = T(from[i]);
    }
  }

  // The patches of pictures [first, first + count), one a row.
  template <typename T>
  void gather(int64_t first, int64_t count, T* to) const {
    for (int64_t b = first; b < first + count; ++b) {
      for (int64_t y = 0; y < height; y += patch) {
        for (int64_t x = 0; x < columns; x += patch) {
          for (int64_t channel = 0; channel < 3; ++channel) {
            for (int64_t row = 0; row < patch; ++row, to += patch) copy_row(b, channel, y + row, x, to);
          }
        }
      }
    }
  }

  void gather(int64_t first, int64_t count, DType dtype, void* to) const {
    dtype == DType::bf16 ? gather(first, count, static_cast<bfloat16*>(to))
                         : gather(first, count, static_cast<float*>(to));
  }

  // Pictures that go through a product together.
  int64_t group() const {
    return std::clamp<int64_t>(kTileRows / std::max<int64_t>(per_picture, 1), 1, batch);
  }
};

std::byte* at(const TensorView& view, int64_t index) {
  return static_cast<std::byte*>(view.data) + static_cast<size_t>(index) * size_of(view.dtype);
}

}  // namespace

void patch_embed_forward_cpu(const PatchEmbedForward& p, const ExecContext& ctx) {
  const Pictures pictures(p.image, p.weight.size(2), p.mean, p.stddev);
  const int64_t width = p.weight.size(0), n = pictures.per_picture, group = pictures.group();
  const DType dtype = p.out.dtype;
  ScratchPlan plan;
  const int64_t patch_floats = group * n * pictures.length, sum_floats = group * n * width;
  const auto patch_slot = plan.add<float>(ctx.pool->size() * patch_floats);
  const auto sum_slot = plan.add<float>(ctx.pool->size() * sum_floats);
  plan.reserve(ctx);
  const float* position = p.position.as<float>();
  parallel_for(ctx, ceil_div(pictures.batch, group), [&](int64_t task, int worker) {
    const int64_t first = task * group, count = std::min(group, pictures.batch - first);
    float* patches = plan[patch_slot] + worker * patch_floats;
    float* sums = plan[sum_slot] + worker * sum_floats;
    pictures.gather(first, count, dtype, patches);
    tile_product({.a = patches,
                  .b = p.weight.data,
                  .c = sums,
                  .m = count * n,
                  .n = width,
                  .k = pictures.length,
                  .lda = pictures.length,
                  .ldb = pictures.length,
                  .ldc = width,
                  .transpose_b = true,
                  .input = dtype});
    for (int64_t b = 0; b < count; ++b) {
      const int64_t row = (first + b) * (n + 1);
      HWY_DYNAMIC_DISPATCH(AddRows)
      (p.class_token.as<float>(), position, width, at(p.out, row * width), dtype);
      HWY_DYNAMIC_DISPATCH(AddRows)
      (sums + b * n * width, position + width, n * width, at(p.out, (row + 1) * width), dtype);
    }
  });
}

void patch_embed_backward_cpu(const PatchEmbedBackward& p, const ExecContext& ctx) {
  const Pictures pictures(p.image, p.dweight.size(2), p.mean, p.stddev);
  const int64_t width = p.dweight.size(0), n = pictures.per_picture, group = pictures.group();
  const int64_t length = pictures.length;
  const DType dtype = p.dout.dtype;
  const int64_t slice_pictures = round_up(ceil_div(pictures.batch, kGradientSlices), group);
  const int64_t slices = ceil_div(pictures.batch, slice_pictures);
  ScratchPlan plan;
  const auto patch_slot = plan.add<float>(ctx.pool->size() * group * n * length);
  const auto rows_slot = plan.add<float>(ctx.pool->size() * group * n * width);
  const auto weight_slot = plan.add<float>(slices * width * length);
  const auto position_slot = plan.add<float>(slices * (n + 1) * width);
  plan.reserve(ctx);

  parallel_for(ctx, slices, [&](int64_t slice, int worker) {
    float* patches = plan[patch_slot] + worker * group * n * length;
    auto* rows = reinterpret_cast<std::byte*>(plan[rows_slot] + worker * group * n * width);
    float* dweight = plan[weight_slot] + slice * width * length;
    float* dposition = plan[position_slot] + slice * (n + 1) * width;
    std::memset(dposition, 0, static_cast<size_t>((n + 1) * width) * sizeof(float));
    const int64_t begin = slice * slice_pictures, end = std::min(pictures.batch, begin + slice_pictures);
    for (int64_t first = begin; first < end; first += group) {
      const int64_t count = std::min(group, end - first);
      pictures.gather(first, count, dtype, patches);
      // The gradients of the patches alone, without the class tokens' rows between the pictures.
      const size_t picture_bytes = static_cast<size_t>(n * width) * size_of(dtype);
      for (int64_t b = 0; b < count; ++b) {
        const int64_t row = (first + b) * (n + 1);
        std::memcpy(rows + static_cast<size_t>(b) * picture_bytes, at(p.dout, (row + 1) * width),
                    picture_bytes);
        HWY_DYNAMIC_DISPATCH(Accumulate)(at(p.dout, row * width), dtype, (n + 1) * width, dposition);
      }
      tile_product({.a = rows,
                    .b = patches,
                    .c = dweight,
                    .m = width,
                    .n = length,
                    .k = count * n,
                    .lda = width,
                    .ldb = length,
                    .ldc = length,
                    .transpose_a = true,
                    .input = dtype,
                    .accumulate = first > begin});
    }
  });
  for (int64_t slice = 0; slice < slices; ++slice) {
    const float* dposition = plan[position_slot] + slice * (n + 1) * width;
    const auto accumulate = HWY_DYNAMIC_DISPATCH(Accumulate);
    accumulate(plan[weight_slot] + slice * width * length, DType::f32, width * length, p.dweight.as<float>());
    accumulate(dposition, DType::f32, (n + 1) * width, p.dposition.as<float>());
    accumulate(dposition, DType::f32, width, p.dclass_token.as<float>());
  }
}

}  // namespace cuclip
#endif  // HWY_ONCE
