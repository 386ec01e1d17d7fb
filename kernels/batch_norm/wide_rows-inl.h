// Passes over rows of channels, several rows at a time where they are narrow (WideRows).
#if defined(CUCLIP_WIDE_ROWS_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef CUCLIP_WIDE_ROWS_INL_H_
#undef CUCLIP_WIDE_ROWS_INL_H_
#else
#define CUCLIP_WIDE_ROWS_INL_H_
#endif

#include <algorithm>

#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {

constexpr int64_t kChunkElements = 8 * 1024;  // that sums in registers run over

// Calls pass.run<vectors>(span, at, rows, column) for the first `columns` columns of `rows` wide rows from
// element `at` on.
template <typename Pass>
void walk_columns(const Pass& pass, int64_t at, int64_t rows, int64_t columns) {
  const int64_t step = lanes();
  int64_t c = 0;
  for (; c + 4 * step <= columns; c += 4 * step) pass.template run<4>(Whole{}, at + c, rows, c);
  for (; c + step <= columns; c += step) pass.template run<1>(Whole{}, at + c, rows, c);
  if (c < columns) pass.template run<1>(Partial{columns - c}, at + c, rows, c);
}

// The same for the elements [begin, end), chunk by chunk; the last wide row may be cut off.
template <typename Pass>
void walk(const Pass& pass, int64_t begin, int64_t end, int64_t width) {
  const int64_t chunk = std::max<int64_t>(1, kChunkElements / width);
  const int64_t rows = (end - begin) / width;
  for (int64_t row = 0; row < rows; row += chunk) {
    walk_columns(pass, begin + row * width, std::min(chunk, rows - row), width);
  }
  const int64_t rest = (end - begin) % width;
  if (rest > 0) walk_columns(pass, end - rest, 1, rest);
}

}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#endif  // per-target include guard
