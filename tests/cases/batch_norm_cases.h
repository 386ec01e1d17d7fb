// Shapes for tests and benchmarks of batch norm.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct BatchNormCase {
  int64_t rows, channels;
};

/// Few channels, so that rows are taken together, with rows left over; odd; whole vectors; several blocks of
/// the CPU kernels, the last one cut off; channels of a ResNet's first and last layers; on CUDA several runs
/// of rows, whole vectors or not, and of several strips of channels.
inline std::vector<BatchNormCase> batch_norm_cases() {
  return {{2, 1},     {3, 2},     {7, 3},     {67, 16},   {33, 17},  {5, 64},    {41, 67},  {2500, 32},
          {50001, 1}, {1301, 48}, {7001, 15}, {390, 256}, {9, 2048}, {70, 1000}, {350, 96}, {300, 260}};
}

}  // namespace cuclip::cases
