// CPU patch embedding. Patches are gathered into scratch for a few pictures at a time (normalised on the way)
// and multiplied there; a batch's patches never exist at once.
//
// Forward: a task gathers some 256 patches, multiplies them with the weight, and writes them with their
// positions. Backward: the pictures of a block are gathered by many tasks, then the weight's gradient is cut
// into tiles, each of which one task owns and adds the block's product to. Blocks follow one another in
// order.
#include <algorithm>
#include <cstring>

#include "kernels/common/scratch_plan.h"
#include "kernels/patch_embed/patch_embed_cpu.h"
#include "kernels/patch_embed/pictures.h"
#include "kernels/tiles/tile_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/patch_embed/patch_embed_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

// One row of pixels, r g b r g b ..., to three planes of T: byte * scale + shift.
template <typename T>
void split_bytes(const Pictures& p, const uint8_t* pixels, T* planes) {
  const F32 d;
  const hn::Rebind<uint8_t, F32> d8;
  const hn::RebindToSigned<F32> d32;
  const int64_t step = lanes();
  int64_t x = 0;
  for (; x + step <= p.columns; x += step) {
    hn::Vec<decltype(d8)> channels[3];
    hn::LoadInterleaved3(d8, pixels + 3 * x, channels[0], channels[1], channels[2]);
    for (int c = 0; c < 3; ++c) {
      const VF value = hn::ConvertTo(d, hn::PromoteTo(d32, channels[c]));
      store(hn::MulAdd(value, hn::Set(d, p.scale[c]), hn::Set(d, p.shift[c])), planes + c * p.columns + x);
    }
  }
  for (; x < p.columns; ++x) {
    for (int c = 0; c < 3; ++c) {
      const VF value = hn::Set(d, static_cast<float>(pixels[3 * x + c]));
      store_n(hn::MulAdd(value, hn::Set(d, p.scale[c]), hn::Set(d, p.shift[c])), planes + c * p.columns + x,
              1);
    }
  }
}

template <typename T>
void convert(const float* from, T* to, int64_t n) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) store(load(from + i), to + i);
  if (i < n) store_n(load_n(from + i, n - i), to + i, n - i);
}

// Copies n bytes; calling memcpy would take longer than copying a piece of 16 to 64 bytes.
HWY_INLINE void copy_piece(const uint8_t* from, uint8_t* to, int64_t n) {
  const hn::Full128<uint8_t> d;
  if (n < 16) {
    std::memcpy(to, from, static_cast<size_t>(n));
    return;
  }
  for (int64_t i = 0; i + 16 <= n; i += 16) hn::StoreU(hn::LoadU(d, from + i), d, to + i);
  if (n % 16 != 0) hn::StoreU(hn::LoadU(d, from + n - 16), d, to + n - 16);
}

// The patches of picture b, one per row of `to`. `planes` holds one row of pixels: 3 * columns elements.
template <typename T>
void gather_picture_as(const Pictures& p, int64_t b, T* to, T* planes) {
  const int64_t across = p.columns / p.patch;
  for (int64_t y = 0; y < p.height; ++y) {
    if (p.bytes) {
      split_bytes(p, p.bytes + (b * p.height + y) * p.columns * 3, planes);
    } else {
      for (int64_t c = 0; c < 3; ++c) {
        convert(p.planar + ((b * 3 + c) * p.height + y) * p.columns, planes + c * p.columns, p.columns);
      }
    }
    T* row = to + y / p.patch * across * p.length + y % p.patch * p.patch;
    for (int64_t i = 0; i < across; ++i) {
      for (int64_t c = 0; c < 3; ++c) {
        copy_piece(reinterpret_cast<const uint8_t*>(planes + c * p.columns + i * p.patch),
                   reinterpret_cast<uint8_t*>(row + i * p.length + c * p.patch * p.patch),
                   p.patch * static_cast<int64_t>(sizeof(T)));
      }
    }
  }
}

void gather_picture(const Pictures& p, int64_t b, DType dtype, void* to, void* planes) {
  if (dtype == DType::f32) {
    gather_picture_as(p, b, static_cast<float*>(to), static_cast<float*>(planes));
  } else {
    gather_picture_as(p, b, static_cast<bfloat16*>(to), static_cast<bfloat16*>(planes));
  }
}

// `rows` rows of n columns: out = a + b, with row strides lda, ldb and ldout.
void add_rows(const float* a, int64_t lda, const float* b, int64_t ldb, const TensorView& out, int64_t at,
              int64_t ldout, int64_t rows, int64_t n) {
  for (int64_t r = 0; r < rows; ++r) {
    if (out.dtype == DType::f32) {
      add_arrays(a + r * lda, b + r * ldb, out.as<float>() + at + r * ldout, n);
    } else {
      add_arrays(a + r * lda, b + r * ldb, out.as<bfloat16>() + at + r * ldout, n);
    }
  }
}

// Columns [begin, begin + n) of the gradients of the positions and of the class token.
template <typename T>
void token_gradients_of(const PatchEmbedBackward& p, int64_t begin, int64_t n) {
  const int64_t width = p.dout.size(2);
  const T* dout = p.dout.as<T>() + begin;
  float* dposition = p.dposition.as<float>() + begin;
  float* dclass_token = p.dclass_token.as<float>() + begin;
  for (int64_t b = 0; b < p.dout.size(0); ++b) {
    add_arrays(dout, dclass_token, dclass_token, n);
    for (int64_t row = 0; row < p.dout.size(1); ++row, dout += width) {
      add_arrays(dout, dposition + row * width, dposition + row * width, n);
    }
  }
}

void token_gradients(const PatchEmbedBackward& p, int64_t begin, int64_t n) {
  if (p.dout.dtype == DType::f32) {
    token_gradients_of<float>(p, begin, n);
  } else {
    token_gradients_of<bfloat16>(p, begin, n);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(gather_picture);
HWY_EXPORT(add_rows);
HWY_EXPORT(token_gradients);

constexpr int64_t kTileRows = 256;     // patches that are multiplied together in the forward
constexpr int64_t kTileColumns = 256;  // of the output, where there are few pictures
constexpr int64_t kFewTasks = 8;
constexpr int64_t kBlockBytes = 4 << 20;  // of patches that are multiplied together in the backward
constexpr int64_t kGradientRows = 64;     // of a tile of the weight's gradient
constexpr int64_t kGradientColumns = 512;
constexpr int64_t kTokenColumns = 128;  // whole cache lines in f32 and bf16

}  // namespace

void patch_embed_forward_cpu(const PatchEmbedForward& p, const ExecContext& ctx) {
  const Pictures pictures(p.image, p.weight.size(2), p.mean, p.stddev);
  const int64_t width = p.weight.size(0);
  const int64_t n = pictures.per_picture;
  const int64_t group = std::clamp<int64_t>(kTileRows / std::max<int64_t>(n, 1), 1, pictures.batch);
  const int64_t groups = ceil_div(pictures.batch, group);
  const int64_t columns = groups < kFewTasks ? std::min(width, kTileColumns) : width;
  const int64_t strips = ceil_div(width, columns);
  const auto element = static_cast<int64_t>(size_of(p.out.dtype));
  const int64_t workers = ctx.pool->size();
  ScratchPlan plan;
  const int64_t patch_bytes = round_up(group * n * pictures.length * element, 64);
  const int64_t plane_bytes = round_up(3 * pictures.columns * element, 64);
  const auto patch_slot = plan.add<std::byte>(workers * patch_bytes);
  const auto plane_slot = plan.add<std::byte>(workers * plane_bytes);
  const auto sum_slot = plan.add<float>(workers * group * n * columns);
  plan.reserve(ctx);
  parallel_for(ctx, groups * strips, [&](int64_t task, int worker) {
    const int64_t first = task / strips * group;
    const int64_t count = std::min(group, pictures.batch - first);
    const int64_t begin = task % strips * columns;
    const int64_t wide = std::min(columns, width - begin);
    std::byte* patches = plan[patch_slot] + worker * patch_bytes;
    float* sums = plan[sum_slot] + worker * group * n * columns;
    for (int64_t b = 0; b < count; ++b) {
      HWY_DYNAMIC_DISPATCH(gather_picture)
      (pictures, first + b, p.out.dtype, patches + b * n * pictures.length * element,
       plan[plane_slot] + worker * plane_bytes);
    }
    tile_product({.a = patches,
                  .b = static_cast<const std::byte*>(p.weight.data) + begin * pictures.length * element,
                  .c = sums,
                  .m = count * n,
                  .n = wide,
                  .k = pictures.length,
                  .lda = pictures.length,
                  .ldb = pictures.length,
                  .ldc = columns,
                  .transpose_b = true,
                  .input = p.out.dtype});
    const float* position = p.position.as<float>() + begin;
    for (int64_t b = 0; b < count; ++b) {
      const int64_t at = (first + b) * (n + 1) * width + begin;
      const auto add = HWY_DYNAMIC_DISPATCH(add_rows);
      add(p.class_token.as<float>() + begin, 0, position, 0, p.out, at, 0, 1, wide);
      add(sums + b * n * columns, columns, position + width, width, p.out, at + width, width, n, wide);
    }
  });
}

void patch_embed_backward_cpu(const PatchEmbedBackward& p, const ExecContext& ctx) {
  const Pictures pictures(p.image, p.dweight.size(2), p.mean, p.stddev);
  const int64_t width = p.dweight.size(0);
  const int64_t length = pictures.length;
  const int64_t tokens = pictures.per_picture + 1;
  const auto element = static_cast<int64_t>(size_of(p.dout.dtype));
  parallel_for(ctx, ceil_div(width, kTokenColumns), [&](int64_t task, int) {
    const int64_t begin = task * kTokenColumns;
    HWY_DYNAMIC_DISPATCH(token_gradients)(p, begin, std::min(kTokenColumns, width - begin));
  });

  // Every picture has a row of zeros where dout has the class token's row: so a block of dout is one matrix.
  // (A gradient of the class token that is not finite then reaches dweight; the step is lost in any case.)
  const int64_t picture_bytes = tokens * length * element;
  const int64_t block = std::clamp<int64_t>(kBlockBytes / picture_bytes, 1, pictures.batch);
  const int64_t plane_bytes = round_up(3 * pictures.columns * element, 64);
  ScratchPlan plan;
  const auto patch_slot = plan.add<std::byte>(block * picture_bytes);
  const auto plane_slot = plan.add<std::byte>(ctx.pool->size() * plane_bytes);
  plan.reserve(ctx);
  std::byte* patches = plan[patch_slot];
  const int64_t strips = ceil_div(length, kGradientColumns);
  for (int64_t first = 0; first < pictures.batch; first += block) {
    const int64_t count = std::min(block, pictures.batch - first);
    parallel_for(ctx, count, [&](int64_t b, int worker) {
      std::byte* to = patches + b * picture_bytes;
      std::memset(to, 0, static_cast<size_t>(length * element));
      HWY_DYNAMIC_DISPATCH(gather_picture)
      (pictures, first + b, p.dout.dtype, to + length * element, plan[plane_slot] + worker * plane_bytes);
    });
    const auto* dout = static_cast<const std::byte*>(p.dout.data) + first * tokens * width * element;
    parallel_for(ctx, ceil_div(width, kGradientRows) * strips, [&](int64_t task, int) {
      const int64_t row = task / strips * kGradientRows;
      const int64_t column = task % strips * kGradientColumns;
      tile_product({.a = dout + row * element,
                    .b = patches + column * element,
                    .c = p.dweight.as<float>() + row * length + column,
                    .m = std::min(kGradientRows, width - row),
                    .n = std::min(kGradientColumns, length - column),
                    .k = count * tokens,
                    .lda = width,
                    .ldb = length,
                    .ldc = length,
                    .transpose_a = true,
                    .input = p.dout.dtype,
                    .accumulate = true});
    });
  }
}

}  // namespace cuclip
#endif  // HWY_ONCE
