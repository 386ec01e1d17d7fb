// Pictures as activations: 8 pictures of 224 x 224 pixels, bytes in, bf16 out.
#include "kernels/pixels/pixels.h"

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {

void count_pixels(Counts& counts) {
  const Shape shape{8, 224, 224, 3};
  const NormalizePixels p{.image = counts.tensor(Role::activation, shape, DType::u8),
                          .out = counts.tensor(Role::activation, shape, DType::bf16)};
  const auto values = static_cast<double>(shape.elements());
  // 4 bytes of u8 beside 8 of bf16.
  counts.run("pictures as activations",
             {.activation_bytes = values * (1 + 2), .most_traffic = 1.0, .vectors_only = false},
             [&](const ExecContext& ctx) { normalize_pixels(p, ctx); });
}

}  // namespace cuclip::test
