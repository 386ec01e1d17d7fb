#include "tests/cuda/tile_products.h"

#include "kernels/contrastive_loss/tile_statistics.cuh"
#include "kernels/patch_embed/patch_product.cuh"
#include "kernels/tiles/epilogue.cuh"

namespace cuclip::test {
namespace products {  // with a name: nothing of them is called, of which nvcc warns in one without

// A product with all parts, which computes nothing.
struct Whole {
  using Input = float;
  static constexpr bool kVectors = true;
  static constexpr int kThreads = 512, kBlocks = 1, kParts = 2;
  static constexpr int kRows = 128, kColumns = 128;
  template <int kSize>
  static constexpr int kPasses = 4;
  static constexpr int kThreadRows = 4, kThreadColumns = 8, kRowLanes = 16, kRowWarps = 1, kColumnWarps = 16;

  __device__ Whole(const Operand<float>&, const Operand<float>&, const TilePlace&, int64_t, bool, void*);
  __device__ void load(int, int);
  __device__ void load_a(int, int);
  __device__ void load_b(int, int);
  __device__ void multiply(int);
  __device__ void stage(int);
  __device__ void read(int, float (&)[4]);
  template <int kSize>
  __device__ int row(int, int) const;
  template <int kSize>
  __device__ int column(int) const;
  __device__ float& sum(int, int);
  __device__ int thread_row(int) const;
  __device__ int thread_column(int) const;
  __device__ int row_warp() const;
  __device__ int column_warp() const;
  template <typename Body>
  __device__ void for_row_sums(Body&&) const;
};

struct OtherInput : Whole {
  using Whole::Whole;
  using Input = double;
};
struct NoOperands : Whole {};
struct NoLoad : Whole {
  using Whole::Whole;
  void load(int, int) = delete;
};
struct NoLoadB : Whole {
  using Whole::Whole;
  void load_b(int, int) = delete;
};
struct NoMultiply : Whole {
  using Whole::Whole;
  void multiply(int) = delete;
};
struct NoRead : Whole {
  using Whole::Whole;
  void read(int, float (&)[8]);  // vectors of another size
};
struct NoSum : Whole {
  using Whole::Whole;
  float sum(int, int);  // that cannot be changed
};
struct HalfTheRows : Whole {
  using Whole::Whole;
  static constexpr int kThreadRows = 2;
};
struct MoreColumns : Whole {
  using Whole::Whole;
  static constexpr int kColumns = 256;
};
struct FewerThreads : Whole {
  using Whole::Whole;
  static constexpr int kThreads = 256;
};
struct NoRowSums : Whole {
  using Whole::Whole;
  template <typename Body>
  void for_row_sums(Body&&) const = delete;
};

}  // namespace products

namespace {

using namespace products;

template <typename P>
concept Runs = requires(P& product) {
  run_pipeline(product, 1);
};
template <typename P>
concept IsStored = requires(P& product, const Epilogue<float>& epilogue, const TilePlace& at) {
  store_tile<EpilogueOp::none>(product, epilogue, at);
};
template <typename P>
concept HasStatistics = requires {
  sizeof(TileStatistics<P>);
};
template <typename P>
concept TakesPatches = requires {
  typename PatchProduct<P, 0, 1, uint8_t>;
};
template <typename T>
concept MakesOperands = requires {
  typename Operand<T>;
  typename Epilogue<T>;
};

template <typename P>
Accepted accepted(const char* type) {
  return {type, OperandProduct<P>, Runs<P>, IsStored<P>, HasStatistics<P>, TakesPatches<P>};
}

template <template <Along, Along, bool, bool> typename Product>
void add_products(const char* type, std::vector<Accepted>& to) {
  to.push_back(accepted<Product<Along::reduction, Along::reduction, true, false>>(type));
  to.push_back(accepted<Product<Along::reduction, Along::outer, false, false>>(type));
  to.push_back(accepted<Product<Along::outer, Along::outer, true, true>>(type));
}

}  // namespace

std::vector<Accepted> accepted_products() {
  std::vector<Accepted> all;
  add_products<MmaProduct>("MmaProduct", all);
  add_products<Tf32Product>("Tf32Product", all);
  add_products<FfmaProduct>("FfmaProduct", all);
  return all;
}

std::vector<Accepted> accepted_forms() {
  std::vector<Accepted> all;
  add_products<TensorCoreProducts<bfloat16, Tuning::TallProduct>::Product>("TallProduct", all);
  add_products<TensorCoreProducts<float, Tuning::FlatProduct>::Product>("FlatProduct", all);
  return all;
}

std::vector<Accepted> accepted_parts() {
  return {accepted<Whole>("Whole"),
          accepted<OtherInput>("OtherInput"),
          accepted<NoOperands>("NoOperands"),
          accepted<NoLoad>("NoLoad"),
          accepted<NoLoadB>("NoLoadB"),
          accepted<NoMultiply>("NoMultiply"),
          accepted<NoRead>("NoRead"),
          accepted<NoSum>("NoSum"),
          accepted<HalfTheRows>("HalfTheRows"),
          accepted<MoreColumns>("MoreColumns"),
          accepted<FewerThreads>("FewerThreads"),
          accepted<NoRowSums>("NoRowSums"),
          accepted<int>("int")};
}

std::vector<bool> accepted_elements() {
  return {MakesOperands<float>, MakesOperands<bfloat16>, MakesOperands<double>, MakesOperands<uint8_t>};
}

}  // namespace cuclip::test
