// What CLIP's modified ResNets add, at sizes of a ResNet-50 and a small one: batch norm, average pooling, the
// mean token and attention pooling, of 16 pictures.
#include "kernels/attention_pool/attention_pool.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/mean_token/mean_token.h"
#include "kernels/pool2d/pool2d.h"
#include "tests/cuda_counts/counts.h"

namespace cuclip::test {
namespace {

constexpr int64_t kBatch = 16;

// `tensors` activations of [rows, channels], each read or written once, where a tensor that is needed twice
// counts as two: sums over all rows come before what they are needed for.
Bounds bounds(int64_t rows, int64_t channels, int tensors, double most_scratch) {
  return {.activation_bytes = static_cast<double>(rows * channels * tensors) * 2.0,
          .most_traffic = 1.0,
          .most_scratch = most_scratch};
}

void count_batch_norm(Counts& counts, int64_t rows, int64_t channels, bool residual) {
  const auto values = [&] { return counts.tensor(Role::activation, {rows, channels}, DType::bf16); };
  const auto parameter = [&] { return counts.tensor(Role::parameter, {channels}, DType::f32); };
  const char* more = residual ? " + residual" : "";
  const BatchNormForward forward{.x = values(),
                                 .weight = parameter(),
                                 .bias = parameter(),
                                 .residual = residual ? values() : TensorView(),
                                 .relu = true,
                                 .y = values(),
                                 .mean = counts.tensor(Role::statistic, {channels}, DType::f32),
                                 .rstd = counts.tensor(Role::statistic, {channels}, DType::f32)};
  counts.run(fmt::format("batch norm forward{}, C = {}", more, channels),
             bounds(rows, channels, residual ? 4 : 3, 0.05),
             [&](const ExecContext& ctx) { batch_norm_forward(forward, ctx); });
  // A thread for each channel reads the weight, once, and makes of it what the last kernel's threads read
  // from the cache like parameters: 96 bytes each of scratch for at least 16 rows of three vectors.
  const BatchNormBackward backward{.dy = values(),
                                   .x = values(),
                                   .weight = counts.tensor(Role::statistic, {channels}, DType::f32),
                                   .mean = counts.tensor(Role::statistic, {channels}, DType::f32),
                                   .rstd = counts.tensor(Role::statistic, {channels}, DType::f32),
                                   .y = values(),
                                   .dx = values(),
                                   .dresidual = residual ? values() : TensorView(),
                                   .dweight = counts.tensor(Role::statistic, {channels}, DType::f32),
                                   .dbias = counts.tensor(Role::statistic, {channels}, DType::f32)};
  // dy, x, y and dresidual, which is then read instead of dy and y: seven either way.
  counts.run(fmt::format("batch norm backward{}, C = {}", more, channels), bounds(rows, channels, 7, 0.15),
             [&](const ExecContext& ctx) { batch_norm_backward(backward, ctx); });
}

void count_pooling(Counts& counts) {
  constexpr int64_t kSide = 56, kChannels = 64;
  const auto pictures = [&](int64_t side) {
    return counts.tensor(Role::activation, {kBatch, side, side, kChannels}, DType::bf16);
  };
  const Bounds moved{.activation_bytes = 2.0 * kBatch * kChannels * kSide * kSide * 1.25,
                     .most_traffic = 1.0};
  const AvgPool2dForward forward{.x = pictures(kSide), .y = pictures(kSide / 2), .k = 2};
  counts.run("average pooling forward", moved,
             [&](const ExecContext& ctx) { avg_pool2d_forward(forward, ctx); });
  const AvgPool2dBackward backward{.dy = pictures(kSide / 2), .dx = pictures(kSide), .k = 2};
  counts.run("average pooling backward", moved,
             [&](const ExecContext& ctx) { avg_pool2d_backward(backward, ctx); });
}

void count_mean_token(Counts& counts) {
  constexpr int64_t kLength = 49, kWidth = 2048;
  const auto tokens = [&](int64_t count) {
    return counts.tensor(Role::activation, {kBatch, count, kWidth}, DType::bf16);
  };
  const auto positions = [&] { return counts.tensor(Role::parameter, {kLength + 1, kWidth}, DType::f32); };
  const double token_bytes = 2.0 * kBatch * kWidth;
  const MeanTokenForward forward{.x = tokens(kLength), .positions = positions(), .y = tokens(kLength + 1)};
  counts.run("mean token forward", {.activation_bytes = token_bytes * (2 * kLength + 1), .most_traffic = 1.0},
             [&](const ExecContext& ctx) { mean_token_forward(forward, ctx); });
  const MeanTokenBackward backward{
      .dy = tokens(kLength + 1), .dx = tokens(kLength), .dpositions = positions()};
  // dy for dx and for the positions: twice, and there 16 bytes of f32 beside 8 of bf16.
  counts.run(
      "mean token backward",
      {.activation_bytes = token_bytes * (3 * kLength + 2), .most_traffic = 1.0, .vectors_only = false},
      [&](const ExecContext& ctx) { mean_token_backward(backward, ctx); });
}

void count_attention_pool(Counts& counts) {
  constexpr int64_t kLength = 50, kWidth = 2048, kHeads = 32;
  const auto queries = [&] { return counts.tensor(Role::activation, {kBatch, kWidth}, DType::bf16); };
  const auto keys = [&] {
    return counts.tensor(Role::activation, {kBatch, kLength, 2 * kWidth}, DType::bf16);
  };
  const auto weights = [&] { return counts.tensor(Role::statistic, {kBatch, kHeads, kLength}, DType::f32); };
  const double query_bytes = 2.0 * kBatch * kWidth, key_bytes = query_bytes * 2 * kLength;
  const AttentionPoolForward forward{
      .q = queries(), .kv = keys(), .heads = kHeads, .out = queries(), .weights = weights()};
  // A query is read by each of a block's four warps.
  counts.run("attention pooling forward",
             {.activation_bytes = key_bytes + 5 * query_bytes, .most_traffic = 1.0},
             [&](const ExecContext& ctx) { attention_pool_forward(forward, ctx); });
  const AttentionPoolBackward backward{.dout = queries(),
                                       .q = queries(),
                                       .kv = keys(),
                                       .weights = weights(),
                                       .heads = kHeads,
                                       .dq = queries(),
                                       .dkv = keys()};
  counts.run(
      "attention pooling backward",
      {.activation_bytes = 2 * key_bytes + 13 * query_bytes, .most_traffic = 1.0, .most_scratch = 0.05},
      [&](const ExecContext& ctx) { attention_pool_backward(backward, ctx); });
}

}  // namespace

void count_resnet(Counts& counts) {
  for (const bool residual : {false, true}) {
    count_batch_norm(counts, kBatch * 32 * 32, 32, residual);
    count_batch_norm(counts, kBatch * 28 * 28, 128, residual);
    count_batch_norm(counts, kBatch * 7 * 7, 2048, residual);
  }
  count_pooling(counts);
  count_mean_token(counts);
  count_attention_pool(counts);
}

}  // namespace cuclip::test
