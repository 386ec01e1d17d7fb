// Runs every CUDA kernel once at sizes of CLIP models, and prints what each should move and compute at least.
// scripts/kernel_counts runs it on the emulator and makes the table; on its own it has no use.
#include <cstdio>

#include "tests/cuda_counts/counts.h"

int main() {
  cuclip::test::Counts counts;
  count_adamw(counts);
  count_attention(counts);
  count_contrastive_loss(counts);
  count_conv2d(counts);
  count_embed(counts);
  count_gemm(counts);
  count_layer_norm(counts);
  count_patch_embed(counts);
  count_pixels(counts);
  count_pointwise(counts);
  count_resnet(counts);
  count_similarity(counts);
  std::puts(counts.json().c_str());
}
