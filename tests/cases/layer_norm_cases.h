// Shapes for tests and benchmarks of layer norm.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct LayerNormCase {
  int64_t rows, width;
};

/// One element; narrower than a vector; odd; whole vectors; an odd number of them in f32; more rows than a
/// block of the CPU kernels; the widths of CLIP's transformers; rows of 2, 4 and 8 warps on CUDA, and one
/// that its backward does not hold in registers.
inline std::vector<LayerNormCase> layer_norm_cases() {
  return {{1, 1},     {2, 3},    {5, 17},    {3, 64},   {9, 36},   {131, 67}, {1301, 33},
          {197, 512}, {65, 768}, {41, 1024}, {9, 1280}, {3, 2048}, {2, 4096}, {2, 7000}};
}

}  // namespace cuclip::cases
