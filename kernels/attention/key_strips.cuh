// Attention backward of a head of dimension 64 with each score computed once: a warp owns strips of 16 keys,
// whose dk and dv stay in its registers while it meets all queries, 16 at a time:
//
//   S^T = k q^T,  P = exp(S - lse),  dP^T = v dout^T,  dS = P (dP - delta),  dv += P^T dout,  dk += dS^T q.
//
// These take P^T and dS^T as operands straight from the sums before. dq = dS k adds up over the keys of all
// warps: dS goes through shared memory as bf16, and after a barrier a warp takes some rows and columns of dq
// over all keys. P and dS are rounded to bf16 where they are multiplied; sums are f32, in the order of the
// strips, and so the same as those of gradient_strip.cuh.
//
// ldmatrix reads operands such that the registers of each lie side by side, as HMMA needs them: where lane i
// gives row i % 16, chunk i / 16 of a square of 16x16, the four registers are A, or, transposed, two B whose
// k are the rows; where it gives row i % 8, chunk i / 8, they are two B whose columns are these 8 rows, one
// for each 16 of k; where it gives row i % 8 + i / 16 * 8, chunk i / 8 % 2, they are, transposed, A whose k
// are the rows.
#pragma once

#include "kernels/attention/attention_arguments.cuh"
#include "kernels/attention/head_tile.cuh"

namespace cuclip {

/// threadIdx.x, read again: what follows from it is not kept in registers from one use to the next.
__device__ __forceinline__ int fresh_thread() {
  uint32_t thread;
  asm volatile("mov.u32 %0, %%tid.x;" : "=r"(thread));
  return static_cast<int>(thread % 1024);  // so nvcc knows that it is not negative
}

/// What belongs to two queries; zeros beyond the last.
struct alignas(16) QueryPair {
  float exponents[2];  // lse * log2(e)
  float deltas[2];     // dout . out
};

/// Of the matrices in shared memory. Rows are 8 chunks of 16 bytes, swizzled as in HeadTile.
struct KeyStripShape {
  static constexpr int kHeadDim = 64;
  static constexpr int kSquares = kHeadDim / 16;
  static constexpr int kStripBytes = kStripRows * kHeadDim * 2;
  /// A strip of queries: 16 rows of q, 16 rows of dout, 8 pairs.
  static constexpr int kPairsPlace = 2 * kStripBytes;
  static constexpr int kQueryStripBytes = kPairsPlace + kStripRows / 2 * static_cast<int>(sizeof(QueryPair));
  /// Weights of 16 keys and the 16 queries of a strip: a line of two chunks for each key.
  static constexpr int kWeightBytes = kStripRows * kStripRows * 2;
};

/// Where this lane's share of an ldmatrix lies from its first row on, in bytes: of q, k, v and dout by
/// squares or by 8 rows. Chunks further right differ from that by an exclusive or, since rows are 128 bytes
/// and begin at multiples of it.
struct SquareLanes {
  uint32_t square, rows;
  uint32_t stored;  // and of weights that are stored: row lane / 4, word lane % 4 of the first chunk

  __device__ __forceinline__ explicit SquareLanes(int thread) {
    const uint32_t lane = thread % kWarp;
    square = lane % 16 * 128 + (lane / 16 ^ lane % 8) * 16;
    rows = lane % 8 * 128 + (lane / 8 ^ lane % 8) * 16;
    stored = lane / 4 * 32 + lane / 16 * 16 + lane % 4 * 4;
  }

  __device__ __forceinline__ static uint32_t at(uint32_t first, int chunk) { return first ^ chunk * 16u; }
};

/// sums[16 queries x 16 kSquares] += dS k, over `key_strips` strips of keys; `gradients` is dS of the strip
/// of queries, `keys` is k, of which the columns begin with square `first_square`.
template <int kSquares>
__device__ __forceinline__ void add_query_gradient(float (&sums)[2 * kSquares][4], const SquareLanes& lanes,
                                                   uint32_t gradients, uint32_t keys, int first_square,
                                                   int key_strips) {
  using Shape = KeyStripShape;
  const uint32_t lane = fresh_thread() % kWarp, row = lane % 8 + lane / 16 * 8;
  gradients += row * 32 + (lane / 8 % 2 ^ row / 4 % 2) * 16;
  keys += lanes.square;
#pragma unroll 2
  for (int strip = 0; strip < key_strips; ++strip) {
    uint32_t a[4];
    ldmatrix_x4_trans(a, gradients + strip * Shape::kWeightBytes);
#pragma unroll
    for (int square = 0; square < kSquares; ++square) {
      uint32_t b[4];
      ldmatrix_x4_trans(b, SquareLanes::at(keys + strip * Shape::kStripBytes, 2 * (first_square + square)));
      mma_bf16(sums[2 * square], a, {b[0], b[1]});
      mma_bf16(sums[2 * square + 1], a, {b[2], b[3]});
    }
  }
}

/// The weights of a strip of queries, as operand A of products over queries.
template <int kSeen>
struct StripWeights {
  uint32_t p[kSeen][4], ds[kSeen][4];
};

/// Writes the half of A for 8 queries, the first or the second of a strip's, to a square of shared memory.
__device__ __forceinline__ void store_weights(const SquareLanes& lanes, char* square, int column,
                                              const uint32_t* halves) {
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    *reinterpret_cast<uint32_t*>(square + (lanes.stored ^ column * 16u) + half * 256) = halves[half];
  }
}

/// Zeros for keys beyond the last, and in causal attention for those after a query: their scores may be
/// anything.
__device__ __forceinline__ void hide_keys(const HeadLayout& layout, int first_key, int first_query,
                                          float (&p)[4], float (&ds)[4]) {
  const int length = static_cast<int>(layout.length);
  if (first_key + kStripRows <= (layout.causal ? min(first_query + 1, length) : length)) return;
  const int lane = fresh_thread() % kWarp;
#pragma unroll
  for (int j = 0; j < 4; ++j) {
    const int key = first_key + j / 2 * 8 + lane / 4, last = first_query + lane % 4 * 2 + j % 2;
    if (key >= length || (layout.causal && key > last)) p[j] = ds[j] = 0.0f;
  }
}

/// P^T and dS^T of kSeen strips of keys and a strip of queries, number `query`, which `queries` has; dS^T
/// goes to gradients(i), too. keys(i, square, a) and values(i, square, a) fetch a square of k or v of strip
/// i, which is number strip(i) of the head.
template <int kSeen, typename Strip, typename Keys, typename Values, typename Gradients>
__device__ __forceinline__ StripWeights<kSeen> weigh(const HeadLayout& layout, const SquareLanes& lanes,
                                                     int query, const char* queries, Strip&& strip,
                                                     Keys&& keys, Values&& values, Gradients&& gradients) {
  using Shape = KeyStripShape;
  // scores[16 keys x 8 queries] of each strip = operand * rows^T.
  const auto dot = [&](float(&scores)[kSeen][4], auto&& operand, uint32_t rows, uint32_t place) {
#pragma unroll
    for (int square = 0; square < Shape::kSquares; square += 2) {
      uint32_t b[4];
      ldmatrix_x4(b, SquareLanes::at(rows, 2 * square) + place);
#pragma unroll
      for (int i = 0; i < 2 * kSeen; ++i) {
        uint32_t a[4];
        operand(i % kSeen, square + i / kSeen, a);
        mma_bf16(scores[i % kSeen], a, {b[i / kSeen * 2], b[i / kSeen * 2 + 1]});
      }
    }
  };
  const int length = static_cast<int>(layout.length);
  StripWeights<kSeen> weights = {};
#pragma unroll
  for (int column = 0; column < 2; ++column) {
    const int first_query = query * kStripRows + column * 8;
    if (column > 0 && first_query >= length) {
#pragma unroll
      for (int i = 0; i < kSeen; ++i) store_weights(lanes, gradients(i), column, &weights.ds[i][2 * column]);
      break;
    }
    float p[kSeen][4] = {}, ds[kSeen][4] = {};
    const uint32_t rows = shared_address(queries) + lanes.rows, place = column * Shape::kStripBytes / 2;
    dot(p, keys, rows, place);
    dot(ds, values, rows, place + Shape::kStripBytes);
    const QueryPair pair = *reinterpret_cast<const QueryPair*>(
        queries + Shape::kPairsPlace + (column * 4 + lanes.stored / 4 % 4) * sizeof(QueryPair));
#pragma unroll
    for (int i = 0; i < kSeen; ++i) {
      const int first_key = strip(i) * kStripRows;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        p[i][j] = exp2_fast(fmaf(p[i][j], layout.exponent_scale, -pair.exponents[j % 2]));
        ds[i][j] = p[i][j] * (ds[i][j] - pair.deltas[j % 2]);
      }
      hide_keys(layout, first_key, first_query, p[i], ds[i]);
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        weights.p[i][2 * column + half] = pack_bf16(p[i][2 * half], p[i][2 * half + 1]);
        weights.ds[i][2 * column + half] = pack_bf16(ds[i][2 * half], ds[i][2 * half + 1]);
      }
      store_weights(lanes, gradients(i), column, &weights.ds[i][2 * column]);
    }
  }
  return weights;
}

/// Weights as A from a square of shared memory.
__device__ __forceinline__ void load_weights(uint32_t (&weights)[4], const char* square) {
  const uint32_t lane = fresh_thread() % kWarp, row = lane % 16;
  ldmatrix_x4(weights, shared_address(square) + row * 32 + (lane / 16 ^ row / 4 % 2) * 16);
}

/// Rows of q or dout of a strip of queries.
__device__ __forceinline__ HeadTile<KeyStripShape::kHeadDim> strip_tile(char* rows) {
  return {reinterpret_cast<Vec<bfloat16>*>(rows), kStripRows};
}

/// Writes factor * sums, columns [16 first_square, ...) of a strip, to rows [0, valid) of a matrix, in
/// 16-byte stores through the same columns of `stage`, which are this warp's own.
template <int kSquares>
__device__ __forceinline__ void store_columns(const float (&sums)[2 * kSquares][4], float factor,
                                              const HeadTile<KeyStripShape::kHeadDim>& stage,
                                              int first_square, bfloat16* matrix, int64_t stride, int valid) {
  const int lane = fresh_thread() % kWarp;
  __syncwarp();
#pragma unroll
  for (int i = 0; i < 2 * kSquares; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      stage.at(half * 8, lane / 4, 2 * first_square + i)->words[lane % 4] =
          pack_bf16(sums[i][2 * half] * factor, sums[i][2 * half + 1] * factor);
    }
  }
  __syncwarp();
  // Eight lanes together have a row's eight chunks, or half of two rows that are four apart: the swizzle
  // moves the other row's chunks to the other banks.
  constexpr int kColumns = 2 * kSquares, kChunks = KeyStripShape::kHeadDim / 8,
                kRowsTogether = kChunks / kColumns;
#pragma unroll
  for (int i = lane; i < kStripRows * kColumns; i += kWarp) {
    const int group = i / kChunks,
              row = group % 4 + group / 4 * 4 * kRowsTogether + i % kChunks / kColumns * 4,
              chunk = 2 * first_square + i % kColumns;
    if (row < valid) {
      store_vec(matrix + row * stride + chunk * 8,
                load_shared_vec<bfloat16>(shared_address(stage.at(0, row, chunk))));
    }
  }
}

/// Up to kStrips strips of keys of one warp, the first with the warp's number, the next `apart` further on. k
/// and v stay in registers. With two strips there is none left for the warp's number, which is found again,
/// nor for dS of both, which comes back from shared memory for dk.
template <int kStrips>
class KeyStrips {
 public:
  using Shape = KeyStripShape;

  /// `count` of kStrips exist. k and v are whole matrices in shared memory.
  __device__ __forceinline__ KeyStrips(const HeadLayout& layout, const SquareLanes& lanes, uint32_t k,
                                       uint32_t v, int apart, int count)
      : layout_(layout), lanes_(lanes), apart_(apart), count_(count) {
#pragma unroll
    for (int i = 0; i < kStrips; ++i) {
      if (i > 0 && i >= count) break;
      load(k_[i], k, strip(i));
      load(v_[i], v, strip(i));
    }
  }

  /// Takes in a strip of queries, and writes dS to `gradients`, which has a square for each strip of keys.
  /// Keys that none of the queries sees are passed over.
  __device__ __forceinline__ void attend(int query, const char* queries, char* gradients) {
    const int first = strip(0);
    int seen = 0;
#pragma unroll
    for (int i = 0; i < kStrips; ++i) {
      seen += i < count_ && (!layout_.causal || first + i * apart_ <= query) ? 1 : 0;
    }
    if constexpr (kStrips > 1) {
      if (seen == kStrips) return step<kStrips>(first, query, queries, gradients);
    }
    if (seen > 0) step<1>(first, query, queries, gradients);
  }

  /// Writes dk and dv to `gradient`, dk of the head. stage(i) is where strip i may be rearranged.
  template <typename Stage>
  __device__ __forceinline__ void finish(bfloat16* gradient, Stage&& stage) const {
    const int stride = static_cast<int>(layout_.projection_stride());
#pragma unroll
    for (int i = 0; i < kStrips; ++i) {
      if (i > 0 && i >= count_) break;
      const int row = strip(i) * kStripRows, left = static_cast<int>(layout_.length) - row;
      bfloat16* rows = gradient + row * layout_.projection_stride();
      store_strip(dk_[i], {layout_.scale, layout_.scale}, stage(i), 0, rows, stride, left);
      store_strip(dv_[i], {1.0f, 1.0f}, stage(i), 0, rows + layout_.width, stride, left);
    }
  }

  __device__ __forceinline__ int strip(int i) const {
    return (kStrips > 1 ? fresh_thread() : static_cast<int>(threadIdx.x)) / kWarp + i * apart_;
  }

 private:
  using Sums = float[Shape::kHeadDim / 8][4];
  using Operand = StripOperand<Shape::kHeadDim>;

  __device__ __forceinline__ void load(Operand& operand, uint32_t matrix, int strip) const {
    const uint32_t first = matrix + strip * Shape::kStripBytes + lanes_.square;
#pragma unroll
    for (int square = 0; square < Shape::kSquares; ++square) {
      ldmatrix_x4(operand[square], SquareLanes::at(first, 2 * square));
    }
  }

  template <int kSeen>
  __device__ __forceinline__ static void add(Sums (&sums)[kStrips], const uint32_t (&weights)[kSeen][4],
                                             uint32_t rows, uint32_t place) {
#pragma unroll
    for (int square = 0; square < Shape::kSquares; ++square) {
      uint32_t b[4];
      ldmatrix_x4_trans(b, SquareLanes::at(rows, 2 * square) + place);
#pragma unroll
      for (int i = 0; i < kSeen; ++i) {
        mma_bf16(sums[i][2 * square], weights[i], {b[0], b[1]});
        mma_bf16(sums[i][2 * square + 1], weights[i], {b[2], b[3]});
      }
    }
  }

  template <int kSeen>
  __device__ __forceinline__ void step(int first, int query, const char* queries, char* gradients) {
    const auto held = [](const Operand(&operands)[kStrips]) {
      return [&operands](int i, int square, uint32_t(&a)[4]) {
#pragma unroll
        for (int j = 0; j < 4; ++j) a[j] = operands[i][square][j];
      };
    };
    const auto strip_of = [&](int i) { return first + i * apart_; };
    const auto square = [&](int i) { return gradients + strip_of(i) * Shape::kWeightBytes; };
    StripWeights<kSeen> weights =
        weigh<kSeen>(layout_, lanes_, query, queries, strip_of, held(k_), held(v_), square);
    const uint32_t rows = shared_address(queries) + lanes_.square;
    add(dv_, weights.p, rows, Shape::kStripBytes);
    if constexpr (kStrips > 1) {
      __syncwarp();
#pragma unroll
      for (int i = 0; i < kSeen; ++i) load_weights(weights.ds[i], square(i));
    }
    add(dk_, weights.ds, rows, 0);
  }

  const HeadLayout& layout_;
  const SquareLanes& lanes_;
  int apart_, count_;
  Operand k_[kStrips], v_[kStrips];
  Sums dk_[kStrips] = {}, dv_[kStrips] = {};
};

}  // namespace cuclip
