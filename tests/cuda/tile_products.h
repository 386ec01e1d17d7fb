// Which types the concepts of kernels/tiles take for what, found by the compiler (tile_products.cu).
#pragma once

#include <string>
#include <vector>

namespace cuclip::test {

/// What a type is accepted as.
struct Accepted {
  std::string type;
  bool product;     // OperandProduct: gemm's and similarity's kernels
  bool pipeline;    // run_pipeline takes it
  bool stored;      // store_tile takes it, for results in f32
  bool statistics;  // TileStatistics takes it
  bool patches;     // PatchProduct takes it as its base
};

/// Of the products that there are.
std::vector<Accepted> accepted_products();
/// Of those whose tile is not a square.
std::vector<Accepted> accepted_forms();
/// Checks of a product that has all parts, and of the same product without each of them.
std::vector<Accepted> accepted_parts();
/// Whether operands and results may be of f32, bf16, f64, and bytes.
std::vector<bool> accepted_elements();

}  // namespace cuclip::test
