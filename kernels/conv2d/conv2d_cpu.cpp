// CPU convolutions: oneDNN's, of some whole pictures in each task, which the shape alone decides.
//
// The weight is brought into oneDNN's order first. Where the processor has no bf16 product a task widens its
// pictures to f32 (exact) and rounds its results once. The weight's gradient is a sum over all pictures: each
// task's goes to scratch, and they are added in order.
#include "kernels/conv2d/conv2d_cpu.h"

#include <algorithm>
#include <cstring>

#include "kernels/common/scratch_plan.h"
#include "kernels/conv2d/convolution.h"
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

std::byte* element(const TensorView& view, int64_t index) {
  return static_cast<std::byte*>(view.data) + static_cast<size_t>(index) * size_of(view.dtype);
}

void widen(const void* from, int64_t count, float* to) {
  const auto* narrow = static_cast<const bfloat16*>(from);
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<float>(narrow[i]);
}

void narrow(const float* from, int64_t count, void* to) {
  for (int64_t i = 0; i < count; ++i) static_cast<bfloat16*>(to)[i] = bfloat16(from[i]);
}

// After rounding, which changes no sign. NaN stays NaN, which oneDNN's own would make 0.
void relu(const TensorView& view, int64_t first, int64_t count) {
  if (view.dtype == DType::f32) {
    float* values = view.as<float>() + first;
    for (int64_t i = 0; i < count; ++i) values[i] = values[i] < 0.0f ? 0.0f : values[i];
  } else {
    bfloat16* values = view.as<bfloat16>() + first;
    constexpr uint16_t kMinusInfinity = 0xff80;
    for (int64_t i = 0; i < count; ++i) {
      const uint16_t bits = values[i].bits;
      values[i].bits = bits >= 0x8000 && bits <= kMinusInfinity ? 0 : bits;
    }
  }
}

// One pass over the batch in tasks of `per_task` pictures, with what it has in scratch: the weight in oneDNN's
// order, or a sum of the weight's gradient for each task.
class PictureTasks {
 public:
  PictureTasks(const ConvolutionSpec& spec, const ExecContext& ctx)
      : pass_(spec.pass),
        shape_(spec.shape),
        per_task_(spec.pictures),
        reads_y_(spec.pass != ConvolutionPass::forward || spec.accumulate),
        widens_(must_widen(spec.dtype)),
        whole_(convolution_of(spec, per_task_)),
        last_(convolution_of(spec, shape_.batch - (count() - 1) * per_task_)) {
    const auto workers = static_cast<int64_t>(ctx.pool->size());
    const auto wide = [&](int64_t elements) { return plan_.add<float>(widens_ ? elements : 0); };
    weight_bytes_ = round_up(static_cast<int64_t>(whole_.weight_bytes()), int64_t{Scratch::kAlignment});
    scratchpad_bytes_ =
        round_up(static_cast<int64_t>(std::max(whole_.scratchpad_bytes(), last_.scratchpad_bytes())),
                 int64_t{Scratch::kAlignment});
    weights_ = plan_.add<std::byte>(weight_bytes_ * (pass_ == ConvolutionPass::weights ? count() : 1));
    scratchpads_ = plan_.add<std::byte>(scratchpad_bytes_ * workers);
    wide_weight_ = wide(pass_ == ConvolutionPass::weights ? 0 : shape_.weights());
    wide_x_ = wide(workers * per_task_ * shape_.picture());
    wide_y_ = wide(workers * per_task_ * shape_.out_picture());
    plan_.reserve(ctx);
  }

  int64_t count() const { return ceil_div(shape_.batch, per_task_); }
  /// The pictures of a task: the first, and how many.
  int64_t first(int64_t task) const { return task * per_task_; }
  int64_t pictures(int64_t task) const { return std::min(per_task_, shape_.batch - first(task)); }

  void order_weight(const TensorView& weight) const {
    if (widens_) widen(weight.data, shape_.weights(), plan_[wide_weight_]);
    whole_.order_weight(widens_ ? plan_[wide_weight_] : weight.data, plan_[weights_]);
  }
  /// A task's sums of the weight's gradient, in oneDNN's order: so many floats.
  float* gradient(int64_t task) const {
    return reinterpret_cast<float*>(plan_[weights_] + task * weight_bytes_);
  }
  int64_t gradient_size() const {
    return static_cast<int64_t>(whole_.weight_bytes()) / static_cast<int64_t>(sizeof(float));
  }
  void add_ordered(const float* gradient, float* dweight) const { whole_.add_ordered(gradient, dweight); }

  void run(int64_t task, int worker, const TensorView& x, const TensorView& y, const float* bias) const {
    const int64_t of_x = pictures(task) * shape_.picture(), of_y = pictures(task) * shape_.out_picture();
    void* in_x = element(x, first(task) * shape_.picture());
    void* in_y = element(y, first(task) * shape_.out_picture());
    const auto convolve = [&](const void* task_x, const void* task_y) {
      (task == count() - 1 ? last_ : whole_)
          .run(task_x, pass_ == ConvolutionPass::weights ? gradient(task) : gradient(0), bias, task_y,
               plan_[scratchpads_] + worker * scratchpad_bytes_);
    };
    if (!widens_) return convolve(in_x, in_y);
    float* wide_x = plan_[wide_x_] + worker * per_task_ * shape_.picture();
    float* wide_y = plan_[wide_y_] + worker * per_task_ * shape_.out_picture();
    if (pass_ != ConvolutionPass::data) widen(in_x, of_x, wide_x);
    if (reads_y_) widen(in_y, of_y, wide_y);
    convolve(wide_x, wide_y);
    if (pass_ == ConvolutionPass::data) narrow(wide_x, of_x, in_x);
    if (pass_ == ConvolutionPass::forward) narrow(wide_y, of_y, in_y);
  }

 private:
  Convolution convolution_of(ConvolutionSpec spec, int64_t pictures) const {
    if (widens_) spec.dtype = DType::f32;
    spec.like = per_task_;
    spec.pictures = pictures;
    return Convolution::find(spec);
  }

  ConvolutionPass pass_;
  Conv2dShape shape_;
  int64_t per_task_;
  bool reads_y_, widens_;
  Convolution whole_, last_;
  int64_t weight_bytes_, scratchpad_bytes_;
  ScratchPlan plan_;
  ScratchPlan::Slot<std::byte> weights_{}, scratchpads_{};
  ScratchPlan::Slot<float> wide_weight_{}, wide_x_{}, wide_y_{};
};

int64_t pictures_of_task(const Conv2dShape& s) {
  const int64_t enough = ceil_div(kTaskRows, s.positions());
  return std::min(s.batch, std::max(enough, ceil_div(s.batch, kMostTasks)));
}

int64_t pictures_of_slice(const Conv2dShape& s) {
  const int64_t fit = kMostSliceBytes / (s.weights() * static_cast<int64_t>(sizeof(float)));
  const int64_t slices = std::clamp<int64_t>(std::min(fit, s.batch * s.positions() / kGradientRows), 1,
                                             std::min(s.batch, kMostSlices));
  return ceil_div(s.batch, slices);
}

void data_gradient(const Conv2dBackward& p, const Conv2dShape& s, const ExecContext& ctx) {
  const PictureTasks tasks(
      {.pass = ConvolutionPass::data, .shape = s, .pictures = pictures_of_task(s), .dtype = p.x.dtype}, ctx);
  tasks.order_weight(p.weight);
  parallel_for(ctx, tasks.count(),
               [&](int64_t task, int worker) { tasks.run(task, worker, p.dx, p.dy, nullptr); });
}

void weight_gradient(const Conv2dBackward& p, const Conv2dShape& s, const ExecContext& ctx) {
  const PictureTasks slices(
      {.pass = ConvolutionPass::weights, .shape = s, .pictures = pictures_of_slice(s), .dtype = p.x.dtype},
      ctx);
  parallel_for(ctx, slices.count(),
               [&](int64_t slice, int worker) { slices.run(slice, worker, p.x, p.dy, nullptr); });
  float* sums = slices.gradient(0);
  const int64_t size = slices.count() == 1 ? 0 : slices.gradient_size();
  parallel_for(ctx, ceil_div(size, kAddedTogether), [&](int64_t task, int) {
    const int64_t begin = task * kAddedTogether, end = std::min(size, begin + kAddedTogether);
    for (int64_t slice = 1; slice < slices.count(); ++slice) {
      const float* from = slices.gradient(slice);
      for (int64_t i = begin; i < end; ++i) sums[i] += from[i];
    }
  });
  slices.add_ordered(sums, p.dweight.as<float>());
}

}  // namespace

void conv2d_forward_cpu(const Conv2dForward& p, const ExecContext& ctx) {
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  const PictureTasks tasks({.pass = ConvolutionPass::forward,
                            .shape = s,
                            .pictures = pictures_of_task(s),
                            .dtype = p.x.dtype,
                            .bias = static_cast<bool>(p.bias),
                            .accumulate = static_cast<bool>(p.residual)},
                           ctx);
  tasks.order_weight(p.weight);
  parallel_for(ctx, tasks.count(), [&](int64_t task, int worker) {
    const int64_t first = tasks.first(task) * s.out_picture(), count = tasks.pictures(task) * s.out_picture();
    if (p.residual) {
      std::memcpy(element(p.y, first), element(p.residual, first),
                  static_cast<size_t>(count) * size_of(p.y.dtype));
    }
    tasks.run(task, worker, p.x, p.y, p.bias ? p.bias.as<float>() : nullptr);
    if (p.relu) relu(p.y, first, count);
  });
}

void conv2d_backward_cpu(const Conv2dBackward& p, const ExecContext& ctx) {
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  if (p.dx) data_gradient(p, s, ctx);
  if (p.dweight) weight_gradient(p, s, ctx);
}

}  // namespace cuclip
