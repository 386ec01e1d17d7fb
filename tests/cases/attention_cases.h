// Shapes for tests and benchmarks of attention.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct AttentionCase {
  int64_t batch, length, heads, head_dim;
};

/// One element; shorter than a strip; odd head dimensions; more than one block of rows; lengths on, below and
/// above multiples of a vector; each head dimension of the tensor-core kernels, one with strips of two tiles,
/// the last of them of one; the largest.
inline std::vector<AttentionCase> attention_cases() {
  return {{1, 1, 1, 1},    {2, 5, 3, 7},   {1, 16, 2, 16},  {2, 33, 1, 24},  {1, 48, 1, 32},
          {1, 80, 1, 9},   {1, 97, 2, 64}, {1, 1, 1, 64},   {1, 19, 1, 80},  {1, 53, 1, 80},
          {1, 129, 1, 64}, {1, 35, 2, 88}, {1, 50, 1, 104}, {1, 40, 2, 128}, {1, 13, 1, 256}};
}

/// What CLIP models use: ViT-B/32, a small ViT, text, ViT-B/16, ViT-L/14, ViT-H/14, ViT-g/14, ViT-bigG/14.
inline std::vector<AttentionCase> attention_clip_cases() {
  return {{2, 50, 2, 64},  {2, 65, 2, 32},  {2, 77, 2, 64},  {1, 197, 1, 64},
          {1, 257, 1, 64}, {1, 257, 1, 80}, {1, 257, 1, 88}, {1, 257, 1, 104}};
}

/// Heads whose backward has all warps of a block on CUDA, and one strip of keys more; the longest that a
/// block holds so; those that do not fit into shared memory, or not twice into that of a multiprocessor.
inline std::vector<AttentionCase> attention_long_cases() {
  return {{1, 193, 1, 64}, {1, 257, 1, 64},  {1, 272, 1, 64}, {1, 288, 1, 64},
          {1, 289, 1, 64}, {1, 289, 1, 128}, {1, 577, 1, 64}, {1, 1025, 1, 64}};
}

}  // namespace cuclip::cases
