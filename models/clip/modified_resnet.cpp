#include "models/clip/modified_resnet.h"

#include <functional>

#include "kernels/conv2d/conv2d.h"

namespace cuclip {
namespace {

using Role = ParameterRole;

// The statistics of a batch that is computed again have been counted.
ImagePass once_more(ImagePass pass) {
  if (pass.statistics == BatchStatistics::of_batch) pass.statistics = BatchStatistics::of_batch_again;
  return pass;
}

// A part of the network, of which a pass with recomputation keeps the inputs alone. What it captures must
// live as long as the tape.
using Part = std::function<Tensor(Tape& tape, const std::vector<Tensor>& inputs, const ImagePass& pass)>;
Tensor run_part(Tape& tape, const std::vector<Tensor>& inputs, const ImagePass& pass, const Part& part) {
  if (!pass.recomputation) return part(tape, inputs, pass);
  const auto run = [part, pass](Tape& t, const std::vector<Tensor>& in) {
    // The first time nothing is recorded.
    return std::vector<Tensor>{part(t, in, t.recording() ? once_more(pass) : pass)};
  };
  return recompute(tape, inputs, run)[0];
}

std::vector<Bottleneck> make_blocks(const ParameterScope& scope, const ClipConfig::Vision& v) {
  std::vector<Bottleneck> blocks;
  int64_t channels = v.width;
  for (size_t stage = 0; stage < v.stages.size(); ++stage) {
    const int64_t inner = int64_t{v.width} << stage;
    for (int i = 0; i < v.stages[stage]; ++i) {
      const int64_t stride = stage > 0 && i == 0 ? 2 : 1;
      blocks.emplace_back(scope.inner(fmt::format("layer{}.{}.", stage + 1, i)), channels, inner, stride);
      channels = inner * Bottleneck::kExpansion;
    }
  }
  return blocks;
}

}  // namespace

ConvolutionAndNorm::ConvolutionAndNorm(const ParameterScope& scope,
                                       const std::pair<std::string, std::string>& names, int64_t in_channels,
                                       int64_t out_channels, int64_t kernel, int64_t stride, float scale)
    : stride_(stride),
      padding_(kernel / 2),
      filters_(scope.add(names.first + ".weight", {out_channels, kernel, kernel, in_channels}, Role::filters,
                         Initialiser::fan_in(in_channels * kernel * kernel))),
      weight_(scope.add(names.second + ".weight", {out_channels}, Role::norm, Initialiser::constant(scale))),
      bias_(scope.add(names.second + ".bias", {out_channels}, Role::norm, Initialiser::zeros())),
      running_mean_(
          scope.add(names.second + ".running_mean", {out_channels}, Role::statistic, Initialiser::zeros())),
      running_var_(
          scope.add(names.second + ".running_var", {out_channels}, Role::statistic, Initialiser::ones())),
      kept_(make_packed_weight()) {}

Tensor ConvolutionAndNorm::forward(Tape& tape, const Tensor& x, const ImagePass& pass, bool relu,
                                   const Tensor& residual) const {
  const ops::BatchNormParameters norm{.weight = weight_,
                                      .bias = bias_,
                                      .running_mean = running_mean_.value,
                                      .running_var = running_var_.value,
                                      .update_statistics = pass.statistics == BatchStatistics::of_batch};
  if (pass.statistics == BatchStatistics::running) {
    return ops::conv2d_inference(tape, x, filters_, stride_, padding_, norm, relu, residual,
                                 pass.fixed_weights ? kept_.get() : nullptr);
  }
  return ops::batch_norm(tape, ops::conv2d(tape, x, filters_, stride_, padding_), norm, relu, residual);
}

Bottleneck::Bottleneck(const ParameterScope& scope, int64_t in_channels, int64_t inner, int64_t stride)
    : stride_(stride),
      first_(scope, {"conv1", "bn1"}, in_channels, inner, 1),
      second_(scope, {"conv2", "bn2"}, inner, inner, 3),
      third_(scope, {"conv3", "bn3"}, inner, inner * kExpansion, 1, 1, 0.0f) {
  // Within "downsample", open_clip numbers the average pooling -1.
  if (stride > 1 || in_channels != inner * kExpansion)
    shortcut_.emplace(scope, std::pair{"downsample.0", "downsample.1"}, in_channels, inner * kExpansion, 1);
}

Tensor Bottleneck::forward(Tape& tape, const Tensor& x, const ImagePass& pass) const {
  const auto strided = [&](const Tensor& in) {
    return stride_ > 1 ? ops::avg_pool2d(tape, in, stride_) : in;
  };
  Tensor shortcut = x;
  if (shortcut_) shortcut = shortcut_->forward(tape, strided(x), pass, /*relu=*/false);
  const Tensor inner = second_.forward(tape, first_.forward(tape, x, pass), pass);
  return third_.forward(tape, strided(inner), pass, /*relu=*/true, shortcut);
}

PoolProjection::PoolProjection(const ParameterScope& scope, const std::string& name, int64_t out, int64_t in)
    : weight(scope.add(name + ".weight", {out, in}, Role::weight, Initialiser::normal(inverse_sqrt(in)))),
      bias(scope.add(name + ".bias", {out}, Role::bias, Initialiser::fan_in(in))) {}

AttentionPool::AttentionPool(const ParameterScope& scope, const ClipConfig::Vision& v, int64_t embed_dim)
    : heads_(v.heads()),
      position_(scope.add("positional_embedding", {v.patches() + 1, v.attention_width()}, Role::position,
                          Initialiser::normal(inverse_sqrt(v.attention_width())))),
      kv_(scope, "kv_proj", int64_t{2} * v.attention_width(), v.attention_width()),
      q_(scope, "q_proj", v.attention_width(), v.attention_width()),
      out_(scope, "c_proj", embed_dim, v.attention_width()) {}

Tensor AttentionPool::forward(Tape& tape, const Tensor& x) const {
  const Tensor places = x.reshaped({x.size(0), x.size(1) * x.size(2), x.size(3)});
  const Tensor all = ops::mean_token(tape, places, position_);
  const Tensor query = ops::linear(tape, ops::pool(tape, all, Tensor()), q_.weight, q_.bias);
  const Tensor kv = ops::linear(tape, all, kv_.weight, kv_.bias);
  const Tensor attended = ops::attention_pool(tape, query, kv, heads_);
  return ops::linear(tape, attended, out_.weight, out_.bias, DType::f32);
}

ModifiedResnet::ModifiedResnet(const ParameterScope& scope, const ClipConfig& config)
    : mean_(config.mean),
      stddev_(config.stddev),
      places_(config.vision.patches()),
      stem_{{scope, {"conv1", "bn1"}, 3, config.vision.width / 2, 3, 2},
            {scope, {"conv2", "bn2"}, config.vision.width / 2, config.vision.width / 2, 3},
            {scope, {"conv3", "bn3"}, config.vision.width / 2, config.vision.width, 3}},
      blocks_(make_blocks(scope, config.vision)),
      pool_(scope.inner("attnpool."), config.vision, config.embed_dim) {}

Tensor ModifiedResnet::forward(Tape& tape, const Tensor& images, const ImagePass& pass) const {
  CUCLIP_CHECK(!pass.kept, "modified ResNet: there are no tokens to leave out");
  CUCLIP_CHECK(
      pass.statistics == BatchStatistics::running || images.size(0) * places_ >= 2,
      "modified ResNet: a batch of one picture that the network reduces to one place has no "
      "statistics to normalise by in training; use a larger batch (--batch-size) or larger pictures");
  // The pictures have no gradient and are no input of the first part.
  const auto stem = [this, images](Tape& t, const std::vector<Tensor>&, const ImagePass& now) {
    Tensor x = ops::pixels(t, images, mean_, stddev_, now.dtype);
    for (const ConvolutionAndNorm& layer : stem_) x = layer.forward(t, x, now);
    return ops::avg_pool2d(t, x, 2);
  };
  Tensor x = run_part(tape, {}, pass, stem);
  for (const Bottleneck& block : blocks_) {
    x = run_part(tape, {x}, pass, [&block](Tape& t, const std::vector<Tensor>& in, const ImagePass& now) {
      return block.forward(t, in[0], now);
    });
  }
  return pool_.forward(tape, x);
}

}  // namespace cuclip
