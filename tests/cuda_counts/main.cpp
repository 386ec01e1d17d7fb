// Runs every CUDA kernel once at sizes of CLIP models, or those of the operations that its arguments name.
// Prints what each should move and compute at least. scripts/kernel_counts runs it on the emulator and makes
// the table; on its own it has no use.
#include <algorithm>
#include <cstdio>
#include <string_view>

#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

struct Operation {
  std::string_view name;
  void (*count)(Counts&);
};
constexpr Operation kOperations[] = {
    {"adamw", count_adamw},
    {"attention", count_attention},
    {"contrastive_loss", count_contrastive_loss},
    {"conv2d", count_conv2d},
    {"embed", count_embed},
    {"gemm", count_gemm},
    {"layer_norm", count_layer_norm},
    {"patch_embed", count_patch_embed},
    {"pixels", count_pixels},
    {"pointwise", count_pointwise},
    {"resnet", count_resnet},
    {"similarity", count_similarity},
};

}  // namespace
}  // namespace cuclip::test

int main(int argc, char** argv) {
  using namespace cuclip::test;
  Counts counts;
  const std::span names(argv + 1, static_cast<size_t>(argc - 1));
  for (const Operation& operation : kOperations) {
    if (names.empty() || std::ranges::find(names, operation.name) != names.end()) operation.count(counts);
  }
  std::puts(counts.json().c_str());
}
