// The convolution's gradients on the CPU: oneDNN's, of some whole pictures and some channels of the result in
// each task, which the shape alone decides. The channels are Cin of dx and Cout of dweight.
//
// For the gradient of x the weight is brought into oneDNN's order first. Where the processor has no bf16
// product a task widens what it reads to f32 (exact) and rounds its results once. The weight's gradient is a
// sum over all pictures: each task's goes to scratch, and they are added in order.
//
// oneDNN's code for SSE reads vectors only where they are aligned, and its fast code takes pixels whole:
// other tensors' pictures are copied, and so are some of a pixel's channels.
#include "kernels/conv2d/conv2d_cpu.h"

#include <algorithm>
#include <vector>

#include "kernels/common/scratch_plan.h"
#include "kernels/conv2d/convolution.h"
#include "kernels/conv2d/copy_pixels.h"
#include "kernels/tiles/tile_product.h"

namespace cuclip {
namespace {

// A task has enough rows of the product to pay for reading the weight, and there are no more tasks than many
// threads can share evenly.
constexpr int64_t kTaskRows = 512;
constexpr int64_t kMostTasks = 64;

// A task's sums of the weight's gradient cost as much as some hundred rows; all of them are in scratch.
constexpr int64_t kGradientRows = 512;
constexpr int64_t kMostSlices = 16;
constexpr int64_t kMostSliceBytes = 64 << 20;
constexpr int64_t kAddedTogether = 16384;

// Where pictures make fewer tasks than that, channels are cut too, as long as a task has so many products and
// channels; and where a weight is large, since it is brought into order block by block.
constexpr int64_t kEnoughTasks = 32;
constexpr int64_t kLeastProducts = 8 << 20;
constexpr int64_t kLeastChannels = 64;
constexpr int64_t kMostWeights = 1 << 20;

// A range cut into blocks of which all but the last have the same size.
struct Cut {
  int64_t size, each;
  int64_t count() const { return ceil_div(size, each); }
  int64_t first(int64_t block) const { return block * each; }
  int64_t size_of_block(int64_t block) const { return std::min(each, size - first(block)); }
};

Cut cut_evenly(int64_t size, int64_t blocks, int64_t multiple = 1) {
  return {size, round_up(ceil_div(size, blocks), multiple)};
}

Cut cut_channels(const Conv2dShape& s, int64_t channels, int64_t tasks) {
  const int64_t products = s.batch * s.positions() * s.weights() / tasks;  // of a task
  const int64_t enough = std::min(ceil_div(kEnoughTasks, tasks), products / kLeastProducts);
  const int64_t blocks = std::max(enough, ceil_div(s.weights(), kMostWeights));
  return cut_evenly(channels, std::clamp<int64_t>(blocks, 1, std::max<int64_t>(1, channels / kLeastChannels)),
                    blocks > 1 ? kLeastChannels : 1);
}

// One pass over the batch in tasks of some pictures and some channels, with what it has in scratch: the
// weight in oneDNN's order, or the tasks' sums of its gradient. x and y are the gradients in the backward.
class BackwardTasks {
 public:
  BackwardTasks(ConvolutionPass pass, const Conv2dShape& shape, const Cut& pictures, const Cut& channels,
                const TensorView& x, const TensorView& y, const ExecContext& ctx)
      : pass_(pass),
        shape_(shape),
        pictures_(pictures),
        channels_(channels),
        x_(x),
        y_(y),
        widens_(must_widen(x.dtype)),
        copies_x_(must_copy() || (channels.count() > 1 && !sums())),
        copies_y_(must_copy() || (channels.count() > 1 && sums())) {
    for (const bool last_pictures : {false, true}) {
      for (const bool last_channels : {false, true})
        kinds_.push_back(convolution_of(last_pictures, last_channels));
    }
    size_t weight = 0, scratchpad = 0;
    for (const Convolution& kind : kinds_) {
      weight = std::max(weight, kind.weight_bytes());
      scratchpad = std::max(scratchpad, kind.scratchpad_bytes());
    }
    const int64_t workers = ctx.pool->size();
    const auto element = static_cast<int64_t>(size_of(dtype()));
    const Conv2dShape part = shape_of(channels_.each);
    weight_bytes_ = aligned(weight);
    scratchpad_bytes_ = aligned(scratchpad);
    x_bytes_ = copies_x_ ? aligned(static_cast<size_t>(pictures_.each * part.picture() * element)) : 0;
    y_bytes_ = copies_y_ ? aligned(static_cast<size_t>(pictures_.each * part.out_picture() * element)) : 0;
    weights_ = plan_.add<std::byte>(weight_bytes_ * (sums() ? count() : channels_.count()));
    scratchpads_ = plan_.add<std::byte>(scratchpad_bytes_ * workers);
    xs_ = plan_.add<std::byte>(x_bytes_ * workers);
    ys_ = plan_.add<std::byte>(y_bytes_ * workers);
    wide_weight_ = plan_.add<float>(widens_ && !sums() ? shape_.weights() : 0);
    plan_.reserve(ctx);
  }

  int64_t count() const { return pictures_.count() * channels_.count(); }

  /// The weight of a block of channels, before the tasks run.
  void take_weight(const TensorView& weight, int64_t block) const {
    const int64_t first = channels_.first(block);
    const void* from = element(weight, first);
    if (widens_) {
      float* wide = plan_[wide_weight_] + first;
      copy_pixels({from, DType::bf16, shape_.channels}, {wide, DType::f32, shape_.channels},
                  shape_.weights() / shape_.channels, channels_.size_of_block(block));
      from = wide;
    }
    const Convolution& kind = kind_of(0, block);
    for (int64_t piece = 0; piece < kind.pack_pieces(); ++piece) kind.pack_weight(from, packed(block), piece);
  }

  /// How many values a block's sums of the weight's gradient are, in oneDNN's order.
  int64_t gradient_size(int64_t block) const {
    return static_cast<int64_t>(kind_of(0, block).weight_bytes() / sizeof(float));
  }
  /// Adds up those from `begin` to `end` of all slices of pictures, in order.
  void add_slices(int64_t block, int64_t begin, int64_t end) const {
    auto* sums = static_cast<float*>(packed(block));
    for (int64_t slice = 1; slice < pictures_.count(); ++slice) {
      const auto* from = static_cast<const float*>(packed(slice * channels_.count() + block));
      for (int64_t i = begin; i < end; ++i) sums[i] += from[i];
    }
  }
  void add_to(const TensorView& dweight, int64_t block) const {
    const int64_t first = channels_.first(block) * (shape_.weights() / shape_.outputs);
    kind_of(0, block).add_packed(static_cast<const float*>(packed(block)), dweight.as<float>() + first);
  }

  void run(int64_t task, int worker) const {
    const int64_t part = task / channels_.count(), block = task % channels_.count();
    const int64_t first = channels_.first(block), pictures = pictures_.size_of_block(part);
    const Conv2dShape s = shape_of(channels_.size_of_block(block));
    void* in_x = element(x_, pictures_.first(part) * shape_.picture() + (sums() ? 0 : first));
    void* in_y = element(y_, pictures_.first(part) * shape_.out_picture() + (sums() ? first : 0));
    void* x = copies_x_ ? plan_[xs_] + worker * x_bytes_ : in_x;
    void* y = copies_y_ ? plan_[ys_] + worker * y_bytes_ : in_y;
    const int64_t of_x = pictures * s.height * s.width, of_y = pictures * s.positions();
    const PixelsAt<void> whole_x{in_x, x_.dtype, shape_.channels}, task_x{x, dtype(), s.channels};
    if (copies_x_ && sums()) copy_pixels(whole_x, task_x, of_x, s.channels);
    if (copies_y_) copy_pixels({in_y, y_.dtype, shape_.outputs}, {y, dtype(), s.outputs}, of_y, s.outputs);
    kind_of(part, block)
        .run(x, packed(sums() ? task : block), y, plan_[scratchpads_] + worker * scratchpad_bytes_);
    if (copies_x_ && !sums()) copy_pixels(task_x, whole_x, of_x, s.channels);
  }

 private:
  bool sums() const { return pass_ == ConvolutionPass::weights; }
  bool must_copy() const { return widens_ || !vector_aligned(x_) || !vector_aligned(y_); }
  DType dtype() const { return widens_ ? DType::f32 : x_.dtype; }

  /// What a task with so many channels convolves.
  Conv2dShape shape_of(int64_t channels) const {
    Conv2dShape s = shape_;
    (sums() ? s.outputs : s.channels) = channels;
    return s;
  }

  Convolution convolution_of(bool last_pictures, bool last_channels) const {
    const int64_t part = last_pictures ? pictures_.count() - 1 : 0;
    const Conv2dShape s = shape_of(channels_.size_of_block(last_channels ? channels_.count() - 1 : 0));
    return Convolution::find({.pass = pass_,
                              .shape = s,
                              .part = whole_pictures(s, pictures_.size_of_block(part)),
                              .like = whole_pictures(s, pictures_.each),
                              .dtype = dtype(),
                              .out = dtype(),
                              .weight_channels = shape_.channels});
  }
  const Convolution& kind_of(int64_t part, int64_t block) const {
    return kinds_[(part == pictures_.count() - 1 ? 2 : 0) + (block == channels_.count() - 1 ? 1 : 0)];
  }
  void* packed(int64_t place) const { return plan_[weights_] + place * weight_bytes_; }

  ConvolutionPass pass_;
  Conv2dShape shape_;
  Cut pictures_, channels_;
  TensorView x_, y_;
  bool widens_, copies_x_, copies_y_;
  std::vector<Convolution> kinds_;  // of the last pictures or others, of the last channels or others
  int64_t weight_bytes_ = 0, scratchpad_bytes_ = 0, x_bytes_ = 0, y_bytes_ = 0;
  ScratchPlan plan_;
  ScratchPlan::Slot<std::byte> weights_{}, scratchpads_{}, xs_{}, ys_{};
  ScratchPlan::Slot<float> wide_weight_{};
};

Cut pictures_of_tasks(const Conv2dShape& s) {
  return cut_evenly(
      s.batch, std::clamp<int64_t>(s.batch * s.positions() / kTaskRows, 1, std::min(s.batch, kMostTasks)));
}

Cut pictures_of_slices(const Conv2dShape& s) {
  const int64_t fit = kMostSliceBytes / (s.weights() * static_cast<int64_t>(sizeof(float)));
  return cut_evenly(s.batch, std::clamp<int64_t>(std::min(fit, s.batch * s.positions() / kGradientRows), 1,
                                                 std::min(s.batch, kMostSlices)));
}

void data_gradient(const Conv2dBackward& p, const Conv2dShape& s, const ExecContext& ctx) {
  const Cut pictures = pictures_of_tasks(s), channels = cut_channels(s, s.channels, pictures.count());
  const BackwardTasks tasks(ConvolutionPass::data, s, pictures, channels, p.dx, p.dy, ctx);
  parallel_for(ctx, channels.count(), [&](int64_t block, int) { tasks.take_weight(p.weight, block); });
  parallel_for(ctx, tasks.count(), [&](int64_t task, int worker) { tasks.run(task, worker); });
}

void weight_gradient(const Conv2dBackward& p, const Conv2dShape& s, const ExecContext& ctx) {
  const Cut slices = pictures_of_slices(s), channels = cut_channels(s, s.outputs, slices.count());
  const BackwardTasks tasks(ConvolutionPass::weights, s, slices, channels, p.x, p.dy, ctx);
  parallel_for(ctx, tasks.count(), [&](int64_t task, int worker) { tasks.run(task, worker); });
  const int64_t pieces = slices.count() > 1 ? ceil_div(tasks.gradient_size(0), kAddedTogether) : 0;
  parallel_for(ctx, channels.count() * pieces, [&](int64_t task, int) {
    const int64_t block = task / pieces, begin = task % pieces * kAddedTogether;
    tasks.add_slices(block, begin, std::min(tasks.gradient_size(block), begin + kAddedTogether));
  });
  parallel_for(ctx, channels.count(), [&](int64_t block, int) { tasks.add_to(p.dweight, block); });
}

}  // namespace

void conv2d_backward_cpu(const Conv2dBackward& p, const ExecContext& ctx) {
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  if (p.dx) data_gradient(p, s, ctx);
  if (p.dweight) weight_gradient(p, s, ctx);
}

}  // namespace cuclip
