// cuBLASLt for the products that it computes as gemm.h says, on Device::cuda.
//
// The library is looked up when the first CublasLt is made, not linked: it is half a gigabyte, which
// only those who ask for it should load (docs/decisions/0005-cublaslt.md).
#pragma once

#include <memory>

#include "kernels/gemm/gemm.h"

namespace cuclip {

/// cuBLASLt on one stream: a handle, a workspace of fixed size, and for each kind of product that it has met
/// the descriptors and the algorithm. Products are the same bits on every run: what is added from workspace
/// is added in order, in f32. They may be captured into a graph, which the object must outlive.
class CublasLt {
 public:
  virtual ~CublasLt() = default;

  /// Whether cuBLASLt computes just what the contract says: a product without activation and gate.
  /// A bias must be of c's dtype there, so with bf16 results such a product is ours.
  static bool takes(const Gemm& p);
  static bool takes(const GemmWeightGradient& p);

  /// Takes validated arguments for which takes() is true. False if cuBLASLt refuses such a product, now and
  /// whenever it comes again: the caller computes it. What a refused Gemm writes to is undefined then; a
  /// weight gradient's is as it was. The first refusal is reported on stderr, with the product, the call and
  /// the status. Throws Error with the same if a product fails of a kind that worked before: it may have been
  /// added in part.
  [[nodiscard]] virtual bool run(const Gemm& p, const ExecContext& ctx) = 0;
  [[nodiscard]] virtual bool run(const GemmWeightGradient& p, const ExecContext& ctx) = 0;
};

/// For ProductPolicy::cublaslt of contexts that share one stream of Device::cuda. InputError where cuBLASLt
/// is not installed and in a build without CUDA.
std::shared_ptr<CublasLt> make_cublaslt();

}  // namespace cuclip
