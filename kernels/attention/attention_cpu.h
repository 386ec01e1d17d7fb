// CPU entry points of attention, whose arguments are already validated, and the sizes that both directions
// share.
#pragma once

#include "kernels/attention/attention.h"

namespace cuclip {

void attention_forward_cpu(const AttentionForward& p, const ExecContext& ctx);
void attention_backward_cpu(const AttentionBackward& p, const ExecContext& ctx);

/// Matrices are worked on in strips of this many rows, and are padded to whole strips.
constexpr int kStripRows = 6;

/// The most rows of a block in the backward: its P and dS should stay in the L2 cache beside the head's
/// matrices.
constexpr int64_t kBlockRows = 48;

/// The sizes of one head's problem and of its f32 matrices in scratch memory.
struct AttentionSizes {
  AttentionSizes(const TensorView& qkv, int64_t heads)
      : batch(qkv.size(0)),
        length(qkv.size(1)),
        width(qkv.size(2) / 3),
        heads(heads),
        head_dim(width / heads),
        padded_rows(round_up(round_up(length, kStripRows), 4)),
        ld_head(padded(head_dim)),
        ld_keys(padded(padded_rows)) {}

  int64_t batch, length, width, heads, head_dim;
  int64_t padded_rows;  // whole strips, and whole blocks of the transposition
  int64_t ld_head;      // row stride of matrices with D columns
  int64_t ld_keys;      // row stride of matrices with S columns

 private:
  // Whole 64-byte vectors; never a multiple of 4096 bytes, where all rows would fall into the same cache
  // sets.
  static int64_t padded(int64_t n) {
    const int64_t whole = round_up(n, 16);
    return whole % 1024 == 0 ? whole + 16 : whole;
  }
};

/// Where a head's matrices are in a worker's scratch memory, in floats from its start.
struct AttentionForwardScratch {
  explicit AttentionForwardScratch(const AttentionSizes& s) {
    const int64_t rows_by_head = s.padded_rows * s.ld_head;
    k_transposed = q + rows_by_head;
    v = k_transposed + s.ld_head * s.ld_keys;
    scores = v + rows_by_head;
    sums = scores + kStripRows * s.ld_keys;
    total = sums + kStripRows * s.ld_head;
  }
  int64_t q = 0;            // [S, D], scaled
  int64_t k_transposed, v;  // [D, S], [S, D]
  int64_t scores, sums;     // of a strip: [kStripRows, S], [kStripRows, D]
  int64_t total;
};

struct AttentionBackwardScratch {
  explicit AttentionBackwardScratch(const AttentionSizes& s)
      // Even blocks: 65 rows are 36 + 29, not 48 + 17.
      : block_rows(round_up(ceil_div(s.length, ceil_div(s.length, kBlockRows)), kStripRows)) {
    const int64_t rows_by_head = s.padded_rows * s.ld_head;
    const int64_t head_by_keys = s.ld_head * s.ld_keys;
    k = q + rows_by_head;
    dout = k + rows_by_head;
    dk = dout + rows_by_head;
    dv = dk + rows_by_head;
    k_transposed = dv + rows_by_head;
    v_transposed = k_transposed + head_by_keys;
    p = v_transposed + head_by_keys;
    ds = p + block_rows * s.ld_keys;
    dq = ds + block_rows * s.ld_keys;
    delta = dq + kStripRows * s.ld_head;
    total = delta + round_up(s.length, 16);
  }
  int64_t block_rows;
  int64_t q = 0;                       // [S, D], scaled
  int64_t k, dout, dk, dv;             // [S, D]
  int64_t k_transposed, v_transposed;  // [D, S]
  int64_t p, ds;                       // of a block: [block_rows, S]
  int64_t dq;                          // of a strip: [kStripRows, D]
  int64_t delta;                       // [S]
  int64_t total;
};

}  // namespace cuclip
