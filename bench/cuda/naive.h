// What a composition of unfused kernels is made of, besides products: each is one simple pass over memory, as
// a framework runs it where nothing is fused. Activations are f32 or bf16, statistics and parameters f32.
// Only the benchmarks' yardstick; the order of sums is not fixed.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip::bench::naive {

/// packed [B, S, parts C] <-> heads [parts, B, H, S, D], C = H D.
void split_heads(const TensorView& packed, const TensorView& heads, const ExecContext& ctx);
void merge_heads(const TensorView& heads, const TensorView& packed, const ExecContext& ctx);

/// Row by row of x [rows, n], in place: x = softmax(scale x) over the first (row % n) + 1 columns if causal,
/// over all otherwise, 0 elsewhere; lse [rows] = log sum exp(scale x).
void softmax(const TensorView& x, float scale, bool causal, const TensorView& lse, const ExecContext& ctx);
/// dp = scale p (dp - sum over the row of p dp), in place.
void softmax_backward(const TensorView& p, const TensorView& dp, float scale, const ExecContext& ctx);

/// mean, then rstd of the rows of x [rows, n]; one pass each.
void row_mean(const TensorView& x, const TensorView& mean, const ExecContext& ctx);
void row_rstd(const TensorView& x, const TensorView& mean, float eps, const TensorView& rstd,
              const ExecContext& ctx);
/// y = (x - mean) rstd weight + bias
void normalize(const TensorView& x, const TensorView& mean, const TensorView& rstd, const TensorView& weight,
               const TensorView& bias, const TensorView& y, const ExecContext& ctx);
/// dx = rstd (g - mean of g - xhat mean of (g xhat)), g = dy weight
void normalize_backward(const TensorView& dy, const TensorView& x, const TensorView& weight,
                        const TensorView& mean, const TensorView& rstd, const TensorView& dx,
                        const ExecContext& ctx);
/// dweight += column sums of dy xhat; dbias += column sums of dy. Without x only dbias.
void column_sums(const TensorView& dy, const TensorView& x, const TensorView& mean, const TensorView& rstd,
                 const TensorView& dweight, const TensorView& dbias, const ExecContext& ctx);

/// out [B, 1 + n, W] = the class token [W], then the patches [B, n, W], plus position [1 + n, W].
void place_tokens(const TensorView& patches, const TensorView& class_token, const TensorView& position,
                  const TensorView& out, const ExecContext& ctx);
/// A filter's channels from last to first: from [W, p, p, 3] to [W, 3, p, p].
void channels_first(const TensorView& from, const TensorView& to, const ExecContext& ctx);

/// x [rows, n] += bias [n]
void add_bias(const TensorView& x, const TensorView& bias, const ExecContext& ctx);

/// Of logits exp(log_scale) s, s [N, N] f32: log sum exp of the rows, or of the columns.
void logit_rows(const TensorView& s, const TensorView& log_scale, const TensorView& lse,
                const ExecContext& ctx);
void logit_columns(const TensorView& s, const TensorView& log_scale, const TensorView& lse,
                   const ExecContext& ctx);
/// The contrastive loss from them and the diagonal.
void contrastive_loss(const TensorView& s, const TensorView& log_scale, const TensorView& row_lse,
                      const TensorView& column_lse, const TensorView& loss, const ExecContext& ctx);
/// gradient [N, N] = exp(log_scale) G, of the loss with respect to s; dlog_scale += sum of G times the
/// logits.
void contrastive_gradient(const TensorView& s, const TensorView& log_scale, const TensorView& row_lse,
                          const TensorView& column_lse, const TensorView& gradient,
                          const TensorView& dlog_scale, const ExecContext& ctx);

/// A launch that the emulator's profile shows: what follows belongs to benchmark number `serial`.
void mark(int64_t serial, const ExecContext& ctx);

}  // namespace cuclip::bench::naive
