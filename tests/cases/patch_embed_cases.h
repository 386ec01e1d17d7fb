// Shapes for tests and benchmarks of the patch embedding.
#pragma once

#include <cstdint>
#include <vector>

namespace cuclip::cases {

struct PatchEmbedCase {
  int64_t batch, height, columns, patch, width;
};

/// One pixel; odd sizes; not square; an odd patch; more pictures than one task of the CPU kernel takes; the
/// patches of ViT-B/32, ViT-B/16 and ViT-L/14; one picture and more than one strip of columns; more than one
/// backward block; on CUDA, patches whose rows are cut into lines, even and not; rows that are not a multiple
/// of 16 bytes, with several tiles of tokens; a picture that is one patch, with a row of one; rows that are
/// such a multiple and patches whose rows are not, so that tiles of elements end with a line; lines that are
/// partly empty.
inline std::vector<PatchEmbedCase> patch_embed_cases() {
  return {{1, 1, 1, 1, 1},      {3, 6, 9, 3, 5},      {2, 21, 7, 7, 17},    {70, 16, 16, 8, 33},
          {2, 64, 64, 32, 48},  {19, 64, 64, 16, 40}, {2, 56, 42, 14, 24},  {1, 28, 28, 14, 300},
          {8, 224, 224, 32, 8}, {1, 66, 33, 33, 5},   {1, 64, 192, 64, 9},  {3, 126, 70, 14, 10},
          {90, 9, 3, 3, 6},     {150, 5, 5, 5, 4},    {9, 28, 112, 14, 24}, {1, 70, 70, 70, 8}};
}

}  // namespace cuclip::cases
