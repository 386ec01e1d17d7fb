// Token embedding and pooling of a text model: 16 captions of 77 tokens, width 512, a vocabulary of 1,000.
// All tokens are 0, as padding is: the longest run that the gradient can meet.
#include "kernels/pool/pool.h"
#include "kernels/token_embed/token_embed.h"
#include "tests/cuda_counts/counts.h"

namespace cuclip::test {

void count_embed(Counts& counts) {
  constexpr int64_t kBatch = 16, kLength = 77, kWidth = 512, kVocabulary = 1000;
  const auto sequences = [&] {
    return counts.tensor(Role::activation, {kBatch, kLength, kWidth}, DType::bf16);
  };
  const auto parameter = [&](int64_t rows) {
    return counts.tensor(Role::parameter, {rows, kWidth}, DType::f32);
  };
  const auto indices = [&](const Shape& shape) { return counts.tensor(Role::statistic, shape, DType::i32); };
  const double bytes = kBatch * kLength * kWidth * 2.0;
  // 16 bytes of f32 beside 8 of bf16.
  const TokenEmbedForward forward{.tokens = indices({kBatch, kLength}),
                                  .table = parameter(kVocabulary),
                                  .position = parameter(kLength),
                                  .out = sequences()};
  counts.run("token embedding forward",
             {.activation_bytes = bytes, .most_traffic = 1.0, .vectors_only = false},
             [&](const ExecContext& ctx) { token_embed_forward(forward, ctx); });
  const TokenEmbedBackward backward{.tokens = indices({kBatch, kLength}),
                                    .dout = sequences(),
                                    .dtable = parameter(kVocabulary),
                                    .dposition = parameter(kLength)};
  // For the table and for the positions: twice.
  counts.run("token embedding backward",
             {.activation_bytes = bytes, .most_traffic = 2.0, .vectors_only = false},
             [&](const ExecContext& ctx) { token_embed_backward(backward, ctx); });
  const auto picked = [&] { return counts.tensor(Role::activation, {kBatch, kWidth}, DType::bf16); };
  const double row_bytes = kBatch * kWidth * 2.0;
  const PoolForward pool{.x = sequences(), .index = indices({kBatch}), .out = picked()};
  counts.run("pooling forward", {.activation_bytes = 2 * row_bytes, .most_traffic = 1.0},
             [&](const ExecContext& ctx) { pool_forward(pool, ctx); });
  const PoolBackward unpool{.dout = picked(), .index = indices({kBatch}), .dx = sequences()};
  counts.run("pooling backward", {.activation_bytes = bytes + row_bytes, .most_traffic = 1.0},
             [&](const ExecContext& ctx) { pool_backward(unpool, ctx); });
}

}  // namespace cuclip::test
