// CPU kernels, each once, on one thread, for callgrind to count their instructions: cpu_counts_test.py runs
// this and compares. Prints what was compiled with what, then the cases' names in the order of the counts.
#include <dnnl.h>
#include <fmt/core.h>
#include <hwy/highway.h>
#include <valgrind/callgrind.h>

#include <cmath>
#include <functional>

#include "bench/random_tensors.h"
#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/batch_norm/batch_norm.h"
#include "kernels/contrastive_loss/contrastive_loss.h"
#include "kernels/gemm/gemm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/patch_embed/patch_embed.h"
#include "models/image/image_transform.h"

namespace cuclip::test {
namespace {

using bench::normal;
using bench::unit_rows;

Context& context() {
  static Context one_thread(1);
  return one_thread;
}

Tensor zeros(const Shape& shape, DType dtype = DType::f32) { return Tensor::zeros(context(), shape, dtype); }
Tensor ones(int64_t n) { return Tensor::full(context(), {n}, 1.0f); }

// Once before, for what is done only once: scratch, oneDNN's code. Valgrind is fast where it does not count.
void count(const std::string& name, const std::function<void()>& body) {
  body();
  CALLGRIND_START_INSTRUMENTATION;
  CALLGRIND_ZERO_STATS;
  body();
  CALLGRIND_DUMP_STATS;
  CALLGRIND_STOP_INSTRUMENTATION;
  fmt::print("{}\n", name);
}

void layer_norm(DType dtype, const std::string& suffix) {
  constexpr int64_t kRows = 256, kWidth = 768;
  const Tensor x = normal(context(), {kRows, kWidth}, dtype), dy = normal(context(), {kRows, kWidth}, dtype);
  const Tensor y = zeros({kRows, kWidth}, dtype), weight = ones(kWidth), bias = zeros({kWidth});
  const Tensor mean = zeros({kRows}), rstd = ones(kRows), dweight = zeros({kWidth}), dbias = zeros({kWidth});
  count("layer_norm forward" + suffix, [&] {
    layer_norm_forward({.x = x, .weight = weight, .bias = bias, .y = y, .mean = mean, .rstd = rstd},
                       context().exec());
  });
  count("layer_norm backward" + suffix, [&] {
    layer_norm_backward({.dy = dy,
                         .x = x,
                         .weight = weight,
                         .mean = mean,
                         .rstd = rstd,
                         .dx = y,
                         .dweight = dweight,
                         .dbias = dbias},
                        context().exec());
  });
}

void attention(DType dtype, const std::string& suffix) {
  constexpr int64_t kLength = 77, kHeads = 4, kWidth = kHeads * 64;
  const Tensor qkv = normal(context(), {2, kLength, 3 * kWidth}, dtype), dqkv = zeros(qkv.shape(), dtype);
  const Tensor dout = normal(context(), {2, kLength, kWidth}, dtype), out = zeros(dout.shape(), dtype);
  const Tensor lse = zeros({2, kHeads, kLength});
  count("attention forward" + suffix, [&] {
    attention_forward({.qkv = qkv, .out = out, .lse = lse, .heads = kHeads, .causal = true},
                      context().exec());
  });
  count("attention backward" + suffix, [&] {
    attention_backward(
        {.qkv = qkv, .out = out, .lse = lse, .dout = dout, .dqkv = dqkv, .heads = kHeads, .causal = true},
        context().exec());
  });
}

void products(DType dtype, const std::string& suffix) {
  constexpr int64_t kM = 256, kN = 512, kK = 128;
  const Tensor a = normal(context(), {kM, kK}, dtype), w = normal(context(), {kN, kK}, dtype, 0.05f);
  const Tensor bias = zeros({kN}), c = zeros({kM, kN}, dtype), z = zeros({kM, kN}, dtype);
  for (const Activation activation : {Activation::quick_gelu, Activation::gelu}) {
    const char* name = activation == Activation::gelu ? "gemm, GELU" : "gemm, QuickGELU";
    count(name + suffix, [&] {
      gemm({.a = a,
            .b = w,
            .c = c,
            .transpose_b = true,
            .bias = bias,
            .activation = activation,
            .pre_activation = z},
           context().exec());
    });
  }
}

void patch_embedding(DType dtype, const std::string& suffix) {
  constexpr int64_t kSize = 64, kPatch = 16, kTokens = 17, kWidth = 128;
  const Tensor image = zeros({4, kSize, kSize, 3}, DType::u8);
  for (int64_t i = 0; i < image.elements(); ++i) image.data<uint8_t>()[i] = static_cast<uint8_t>(i * 7);
  const Tensor weight = normal(context(), {kWidth, 3, kPatch, kPatch}, dtype);
  const Tensor token = zeros({kWidth}), position = zeros({kTokens, kWidth});
  const Tensor out = normal(context(), {4, kTokens, kWidth}, dtype), dweight = zeros(weight.shape());
  count("patch_embed forward" + suffix, [&] {
    patch_embed_forward(
        {.image = image, .weight = weight, .class_token = token, .position = position, .out = out},
        context().exec());
  });
  count("patch_embed backward" + suffix, [&] {
    patch_embed_backward(
        {.image = image, .dout = out, .dweight = dweight, .dclass_token = token, .dposition = position},
        context().exec());
  });
}

void batch_norm(DType dtype, const std::string& suffix) {
  constexpr int64_t kRows = 2048, kChannels = 64;
  const Tensor x = normal(context(), {kRows, kChannels}, dtype), dy = normal(context(), x.shape(), dtype);
  const Tensor y = zeros(x.shape(), dtype), weight = ones(kChannels), bias = zeros({kChannels});
  const Tensor mean = zeros({kChannels}), rstd = ones(kChannels), dweight = zeros({kChannels});
  count("batch_norm forward" + suffix, [&] {
    batch_norm_forward(
        {.x = x, .weight = weight, .bias = bias, .relu = true, .y = y, .mean = mean, .rstd = rstd},
        context().exec());
  });
  count("batch_norm backward" + suffix, [&] {
    batch_norm_backward({.dy = dy,
                         .x = x,
                         .weight = weight,
                         .mean = mean,
                         .rstd = rstd,
                         .y = y,
                         .dx = dy,
                         .dweight = dweight,
                         .dbias = bias},
                        context().exec());
  });
}

void contrastive_loss(DType dtype, const std::string& suffix) {
  constexpr int64_t kPairs = 512, kWidth = 128;
  const Tensor image = unit_rows(context(), kPairs, kWidth, dtype, 1);
  const Tensor text = unit_rows(context(), kPairs, kWidth, dtype, 2);
  const Tensor dimage = zeros(image.shape(), dtype), dtext = zeros(text.shape(), dtype);
  const Tensor log_scale = Tensor::full(context(), {1}, std::log(100.0f)), loss = zeros({1}), one = ones(1);
  const Tensor row_lse = zeros({kPairs}), column_lse = zeros({kPairs}), dlog_scale = zeros({1});
  count("contrastive_loss forward" + suffix, [&] {
    contrastive_loss_forward({.image = image,
                              .text = text,
                              .log_scale = log_scale,
                              .loss = loss,
                              .row_lse = row_lse,
                              .column_lse = column_lse},
                             context().exec());
  });
  count("contrastive_loss backward" + suffix, [&] {
    contrastive_loss_backward({.image = image,
                               .text = text,
                               .log_scale = log_scale,
                               .row_lse = row_lse,
                               .column_lse = column_lse,
                               .dloss = one,
                               .dimage = dimage,
                               .dtext = dtext,
                               .dlog_scale = dlog_scale},
                              context().exec());
  });
}

void top_k(DType dtype, const std::string& suffix) {
  constexpr int64_t kRows = 10000, kWidth = 128, kBest = 10;
  const Tensor a = unit_rows(context(), 1, kWidth, dtype, 1),
               b = unit_rows(context(), kRows, kWidth, dtype, 2);
  const Tensor values = zeros({1, kBest}), indices = zeros({1, kBest}, DType::i32), rnorm = ones(kRows);
  for (const TensorView& given : {TensorView(), rnorm.view()}) {
    count((given ? "top_k, norms given" : "top_k") + suffix, [&] {
      cuclip::top_k({.a = a, .b = b, .b_rnorm = given, .k = kBest, .values = values, .indices = indices},
                    context().exec());
    });
  }
}

void adamw() {
  constexpr int64_t kCount = 100'000;
  const std::vector<AdamWSegment> segments = {{0, kCount, 0.2f}};
  AdamWControl control;
  const Tensor weights = normal(context(), {kCount}, DType::f32),
               gradients = normal(context(), {kCount}, DType::f32);
  const Tensor exp_avg = zeros({kCount}), exp_avg_sq = zeros({kCount}),
               lr = Tensor::full(context(), {1}, 1e-3f);
  count("adamw_begin", [&] {
    adamw_begin({.gradients = gradients, .segments = segments, .lr = lr, .control = &control},
                context().exec());
  });
  count("adamw_step", [&] {
    adamw_step({.weights = weights,
                .gradients = gradients,
                .exp_avg = exp_avg,
                .exp_avg_sq = exp_avg_sq,
                .segments = segments,
                .control = &control},
               context().exec());
  });
}

void pictures() {
  Image image{.width = 640, .height = 480, .rgb = std::vector<uint8_t>(640 * 480 * 3)};
  for (size_t i = 0; i < image.rgb.size(); ++i) image.rgb[i] = static_cast<uint8_t>(i * 31);
  std::vector<uint8_t> pixels(224 * 224 * 3);
  count("resize and crop 640 x 480 to 224",
        [&] { evaluation_pixels(image, EvaluationTransform(224), pixels); });
}

}  // namespace
}  // namespace cuclip::test

int main() {
  using namespace cuclip::test;
  const dnnl_version_t* dnnl = dnnl_version();
  fmt::print("g++ {}, oneDNN {}.{}.{}, Highway {}.{}.{}\n", __VERSION__, dnnl->major, dnnl->minor,
             dnnl->patch, HWY_MAJOR, HWY_MINOR, HWY_PATCH);
  using cuclip::DType;
  // Valgrind's processor has no bf16 products, and making oneDNN's code takes it long: those are counted in
  // f32.
  attention(DType::f32, ", f32");
  products(DType::f32, ", f32");
  patch_embedding(DType::f32, ", f32");
  contrastive_loss(DType::f32, ", f32");
  for (const auto& [dtype, suffix] : {std::pair{DType::f32, ", f32"}, {DType::bf16, ", bf16"}}) {
    layer_norm(dtype, suffix);
    batch_norm(dtype, suffix);
    top_k(dtype, suffix);
  }
  adamw();
  pictures();
}
