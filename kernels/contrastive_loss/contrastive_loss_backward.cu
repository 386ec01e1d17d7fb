// The contrastive loss on CUDA, backward, of a whole matrix and of a part of one: 6 Nr Nc D FLOP, each logit
// computed once.
//
// The gradient G with respect to S, times exp(t), is worked through in blocks of up to 4,096 x 8,192 elements
// of the features' type in scratch, which is all of it that is ever held. Two kernels per block, both in
// tiles of 128 x 128 (product.cuh):
//   logit_gradient_kernel     computes the logits again and turns them into G, with the tiles' part of
//                             dlog_scale;
//   feature_gradient_kernel   adds G T to dimage and Gᵀ I to dtext, in one launch so that small products do
//                             not run one after the other on a GPU that either would leave half empty.
// G moves three times (written, read as rows and as columns), 2 D FLOP for each of its bytes in bf16. Where
// there is more than one block, bf16 gradients are summed in f32 and rounded at the end; a part's are added
// to the caller's f32. A third kernel adds up dlog_scale. No atomics; the cut follows from the shape.
#include <algorithm>

#include "kernels/common/exponential.cuh"
#include "kernels/common/launch.cuh"
#include "kernels/common/scratch_plan.h"
#include "kernels/contrastive_loss/contrastive_loss_cuda.h"
#include "kernels/contrastive_loss/left_out_pairs.cuh"
#include "kernels/pointwise/pointwise_cuda.h"
#include "kernels/tiles/epilogue.cuh"
#include "kernels/tiles/ffma_product.cuh"
#include "kernels/tiles/mma_product.cuh"
#include "kernels/tiles/product_policy.h"

namespace cuclip {
namespace {

constexpr int64_t kBlockRows = SumOrder::kLogitGradientRows;
constexpr int64_t kBlockColumns = SumOrder::kLogitGradientColumns;
constexpr int kSumThreads = 256;

// A block of G: image and the rows' statistics begin at its first row, text and the columns' at its first
// column.
template <typename T>
struct LogitGradientArguments {
  Operand<T> image;
  Operand<T> text;
  int64_t depth;
  const float* log_scale;
  const float* dloss;
  float share;  // of a row in the loss: 1 / (2 pairs)
  const float* row_lse;
  const float* column_lse;
  int64_t first_positive;  // the column of row 0's positive, in the block or not
  int row_tiles;
  int column_tiles;
  T* gradient;  // whole tiles, `stride` elements per row
  int64_t stride;
  double* sums;  // of G S without exp(t) and dloss, for each tile
  bool first;    // of the blocks: sums are overwritten
};

template <typename T>
struct LogitGradientArgumentsWithWords : LogitGradientArguments<T> {
  PairWords words;
};

// Turns the products of kSize columns of a row into G; `inside` of them are in the block, and the others mean
// nothing. kWords: products may be kLeftOut. Returns the sum of G S, both without the factors that all
// elements share.
template <bool kWords, int kSize>
__device__ __forceinline__ float to_gradients(float (&v)[kSize], float scale, float factor, float row_lse,
                                              const float (&column_lse)[kSize], int64_t positive,
                                              int64_t inside) {
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < kSize; ++j) {
    const float logit = scale * v[j];
    float g = exp_fast(logit - row_lse) + exp_fast(logit - column_lse[j]);
    if (positive == j) g -= 2.0f;
    const bool left_out = kWords && v[j] == kLeftOut;
    if (left_out) g = 0.0f;
    if (j < inside && !left_out) sum = fmaf(g, logit, sum);
    v[j] = factor * g;
  }
  return sum;
}

// Zeros after the last column of the tile's rows of G, up to the end of its 16 bytes: lines are read in whole
// vectors.
template <typename T>
__device__ __forceinline__ void end_lines(T* gradient, int64_t stride, int64_t columns, int threads) {
  if (columns >= kTile) return;
  for (int row = static_cast<int>(threadIdx.x); row < kTile; row += threads) {
    for (int64_t j = columns; j % Vec<T>::kSize != 0; ++j) gradient[row * stride + j] = from_float<T>(0.0f);
  }
}

// Arguments: with or without words.
template <OperandProduct Product, typename Arguments>
__global__ void __launch_bounds__(Product::kThreads, Product::kBlocks)
    logit_gradient_kernel(const Arguments p) {
  using T = typename Product::Input;
  constexpr bool kWords = requires { p.words; };
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const TilePlace at(static_cast<int>(blockIdx.x), p.row_tiles, p.column_tiles);
  Product product(p.image, p.text, at, p.depth, false, shared);
  run_pipeline(product, steps_of<T>(p.depth));

  if constexpr (kWords) {
    leave_pairs_out(product, p.words, at, static_cast<int>(min(p.image.outer - at.row, int64_t{kTile})),
                    static_cast<int>(min(p.text.outer - at.column, int64_t{kTile})), p.first_positive,
                    shared);
  }
  constexpr int kSize = Vec<T>::kSize;
  const float scale = expf(*p.log_scale), factor = scale * *p.dloss * p.share;
  float sum = 0.0f;
#pragma unroll 1
  for (int part = 0; part < Product::kParts; ++part) {
    const int64_t column = at.column + product.template column<kSize>(part);
    float column_lse[kSize];
#pragma unroll
    for (int j = 0; j < kSize; ++j) {
      column_lse[j] = column + j < p.text.outer ? p.column_lse[column + j] : 0.0f;
    }
    product.stage(part);
#pragma unroll
    for (int pass = 0; pass < Product::template kPasses<kSize>; ++pass) {
      const int64_t row = at.row + product.template row<kSize>(part, pass);
      const bool row_inside = row < p.image.outer;
      const float row_lse = row_inside ? p.row_lse[row] : 0.0f;
      float v[kSize];
      product.read(pass, v);
      sum += to_gradients<kWords>(v, scale, factor, row_lse, column_lse, p.first_positive + row - column,
                                  row_inside ? p.text.outer - column : 0);
      store_vec_global(p.gradient + row * p.stride + column, pack<T>(v));
    }
  }
  __syncthreads();
  end_lines(p.gradient + at.row * p.stride + at.column, p.stride, p.text.outer - at.column,
            Product::kThreads);
  const double total = block_sum(static_cast<double>(sum), reinterpret_cast<double*>(shared));
  if (threadIdx.x == 0) p.sums[blockIdx.x] = p.first ? total : p.sums[blockIdx.x] + total;
}

template <OperandProduct Product, typename T, typename Out>
__device__ __forceinline__ void multiply_tile(const ProductArguments<T, Out>& p, int tile, void* shared) {
  const TilePlace at(tile, p.row_tiles, p.column_tiles);
  Product product(p.a, p.b, at, p.reduction, false, shared);
  run_pipeline(product, steps_of<T>(p.reduction));
  store_tile<EpilogueOp::none>(product, p.epilogue, at);
}

// The first blocks take dimage's tiles, the others dtext's.
template <OperandProduct ImageProduct, OperandProduct TextProduct, typename Out,
          typename T = typename ImageProduct::Input>
__global__ void __launch_bounds__(ImageProduct::kThreads, ImageProduct::kBlocks)
    feature_gradient_kernel(const ProductArguments<T, Out> image, const ProductArguments<T, Out> text) {
  alignas(kTileAlignment) extern __shared__ uint4 shared[];
  const int tile = static_cast<int>(blockIdx.x), image_tiles = image.row_tiles * image.column_tiles;
  if (tile < image_tiles) {
    multiply_tile<ImageProduct>(image, tile, shared);
  } else {
    multiply_tile<TextProduct>(text, tile - image_tiles, shared);
  }
}

__global__ void __launch_bounds__(kSumThreads)
    scale_gradient_kernel(const double* sums, int64_t count, const float* dloss, float share,
                          float* dlog_scale) {
  __shared__ double shared[kWarp];
  const double sum = block_sum_of(sums, count, shared);
  if (threadIdx.x == 0) *dlog_scale += static_cast<float>(static_cast<double>(*dloss * share) * sum);
}

__global__ void __launch_bounds__(kSumThreads)
    add_logit_sum_kernel(const double* sums, int64_t count, const float* dloss, float share,
                         double* logit_sum) {
  __shared__ double shared[kWarp];
  const double sum = block_sum_of(sums, count, shared);
  if (threadIdx.x == 0) *logit_sum += static_cast<double>(*dloss * share) * sum;
}

// One call, of a whole matrix or of a part. Out: what the gradients are summed in, T or float.
template <template <Along, Along, bool, bool> typename Product, typename T, typename Out, typename Params>
class Backward {
 public:
  Backward(const Params& p, const ExecContext& ctx)
      : p_(p), ctx_(ctx), rows_(p.image.size(0)), columns_(p.text.size(0)), depth_(p.image.size(1)) {
    const int64_t block_rows = std::min(round_up(rows_, kTile), kBlockRows);
    stride_ = std::min(round_up(columns_, kTile), kBlockColumns);
    tiles_ = tiles_of(block_rows) * tiles_of(stride_);
    ScratchPlan plan;
    const auto gradient = plan.add<T>(block_rows * stride_);
    const auto sums = plan.add<double>(tiles_);
    const auto dimage = plan.add<Out>(kRounds ? rows_ * depth_ : 0);
    const auto dtext = plan.add<Out>(kRounds ? columns_ * depth_ : 0);
    plan.reserve(ctx);
    gradient_ = plan[gradient];
    sums_ = plan[sums];
    dimage_ = kRounds ? plan[dimage] : static_cast<Out*>(p.dimage.data);
    dtext_ = kRounds ? plan[dtext] : static_cast<Out*>(p.dtext.data);
  }

  void run() {
    for (int64_t column = 0; column < columns_; column += kBlockColumns) {
      for (int64_t row = 0; row < rows_; row += kBlockRows) {
        const Block b{row, std::min(kBlockRows, rows_ - row), column,
                      std::min(kBlockColumns, columns_ - column)};
        logit_gradient(b);
        feature_gradient(b);
      }
    }
    if constexpr (kRounds) {
      cast_cuda({.x = make_view(dimage_, p_.dimage.shape), .out = p_.dimage}, ctx_);
      cast_cuda({.x = make_view(dtext_, p_.dtext.shape), .out = p_.dtext}, ctx_);
    }
    const float* dloss = p_.dloss.template as<float>();
    if constexpr (kPart) {
      launch({.kernel = "add_logit_sum_kernel", .grid = {1}, .threads = kSumThreads}, add_logit_sum_kernel,
             ctx_, sums_, tiles_, dloss, share(), p_.logit_sum.data());
    } else {
      launch({.kernel = "scale_gradient_kernel", .grid = {1}, .threads = kSumThreads}, scale_gradient_kernel,
             ctx_, sums_, tiles_, dloss, share(), p_.dlog_scale.template as<float>());
    }
  }

 private:
  static constexpr bool kPart = std::same_as<Params, ContrastiveLossPartBackward>;
  static constexpr bool kRounds = !kPart && sizeof(Out) != sizeof(T);
  struct Block {
    int64_t row, rows, column, columns;
  };

  float share() const {
    if constexpr (kPart) {
      return 0.5f / static_cast<float>(p_.pairs);
    } else {
      return 0.5f / static_cast<float>(rows_);
    }
  }
  const T* image(const Block& b) const { return p_.image.template as<T>() + b.row * depth_; }
  const T* text(const Block& b) const { return p_.text.template as<T>() + b.column * depth_; }

  void logit_gradient(const Block& b) const {
    const LogitGradientArguments<T> a{.image = {image(b), depth_, b.rows},
                                      .text = {text(b), depth_, b.columns},
                                      .depth = depth_,
                                      .log_scale = p_.log_scale.template as<float>(),
                                      .dloss = p_.dloss.template as<float>(),
                                      .share = share(),
                                      .row_lse = p_.row_lse.template as<float>() + b.row,
                                      .column_lse = p_.column_lse.template as<float>() + b.column,
                                      .first_positive = p_.label_offset + b.row - b.column,
                                      .row_tiles = static_cast<int>(tiles_of(b.rows)),
                                      .column_tiles = static_cast<int>(tiles_of(b.columns)),
                                      .gradient = gradient_,
                                      .stride = stride_,
                                      .sums = sums_,
                                      .first = b.row == 0 && b.column == 0};
    if (p_.image_words) {
      launch_logit_gradient(LogitGradientArgumentsWithWords<T>{a, words_from(p_, b.row, b.column)});
    } else {
      launch_logit_gradient(a);
    }
  }

  template <typename Arguments>
  void launch_logit_gradient(const Arguments& a) const {
    with_product<Product, Along::reduction, Along::reduction, false>(
        vector_lines(a.image) && vector_lines(a.text), [&]<typename P>(std::type_identity<P>) {
          launch({.kernel = "logit_gradient_kernel",
                  .grid = {int64_t{a.row_tiles} * a.column_tiles},
                  .threads = P::kThreads,
                  .shared_bytes = kPipelineBytes},
                 logit_gradient_kernel<P, Arguments>, ctx_, a);
        });
  }

  // [rows, D] += a b over `reduction`, or = where the block is the first along it and the matrix whole.
  ProductArguments<T, Out> product(const Operand<T>& a, const T* b, int64_t reduction, Out* c,
                                   bool first) const {
    return {.a = a,
            .b = {b, depth_, depth_},
            .reduction = reduction,
            .row_tiles = static_cast<int>(tiles_of(a.outer)),
            .column_tiles = static_cast<int>(tiles_of(depth_)),
            .epilogue = {
                .c = c, .rows = a.outer, .columns = depth_, .addend_or_gate = first && !kPart ? nullptr : c}};
  }

  void feature_gradient(const Block& b) const {
    // No tiles of a dimage that is not wanted.
    const auto dimage = product({gradient_, stride_, dimage_ ? b.rows : 0}, text(b), b.columns,
                                dimage_ ? dimage_ + b.row * depth_ : nullptr, b.column == 0);
    const auto dtext =
        product({gradient_, stride_, b.columns}, image(b), b.rows, dtext_ + b.column * depth_, b.row == 0);
    const auto run = [&](auto kernel, int threads) {
      launch({.kernel = "feature_gradient_kernel",
              .grid = {int64_t{dimage.row_tiles + dtext.row_tiles} * dtext.column_tiles},
              .threads = threads,
              .shared_bytes = kPipelineBytes},
             kernel, ctx_, dimage, dtext);
    };
    constexpr Along kReduction = Along::reduction, kOuter = Along::outer;
    using Vectors = Product<kReduction, kOuter, true, false>;
    using Elements = Product<kReduction, kOuter, false, false>;
    if (vector_lines(dimage.b) && vector_lines(dtext.b) && depth_ % Vec<Out>::kSize == 0 &&
        aligned_to(kVecBytes, dimage_, dtext_)) {
      run(feature_gradient_kernel<Vectors, Product<kOuter, kOuter, true, false>, Out>, Vectors::kThreads);
    } else {
      run(feature_gradient_kernel<Elements, Product<kOuter, kOuter, false, false>, Out>, Elements::kThreads);
    }
  }

  const Params& p_;
  const ExecContext& ctx_;
  int64_t rows_, columns_, depth_;
  int64_t stride_ = 0;  // of G
  int64_t tiles_ = 0;   // of the largest block, which is the first
  T* gradient_ = nullptr;
  double* sums_ = nullptr;
  Out* dimage_ = nullptr;
  Out* dtext_ = nullptr;
};

}  // namespace

void contrastive_loss_backward_cuda(const ContrastiveLossBackward& p, const ExecContext& ctx) {
  using Params = ContrastiveLossBackward;
  if (p.image.dtype == DType::f32) {
    product_policy(ctx).tf32 ? Backward<Tf32Product, float, float, Params>(p, ctx).run()
                             : Backward<FfmaProduct, float, float, Params>(p, ctx).run();
  } else if (p.image.size(0) <= kBlockRows && p.text.size(0) <= kBlockColumns) {
    Backward<MmaProduct, bfloat16, bfloat16, Params>(p, ctx).run();
  } else {
    Backward<MmaProduct, bfloat16, float, Params>(p, ctx).run();
  }
}

void contrastive_loss_part_backward_cuda(const ContrastiveLossPartBackward& p, const ExecContext& ctx) {
  using Params = ContrastiveLossPartBackward;
  if (p.image.dtype == DType::f32) {
    product_policy(ctx).tf32 ? Backward<Tf32Product, float, float, Params>(p, ctx).run()
                             : Backward<FfmaProduct, float, float, Params>(p, ctx).run();
  } else {
    Backward<MmaProduct, bfloat16, float, Params>(p, ctx).run();
  }
}

}  // namespace cuclip
