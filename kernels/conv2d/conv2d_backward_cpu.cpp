// The convolution's gradients on the CPU: oneDNN's, of some whole pictures in each task, which the shape
// alone decides.
//
// For the gradient of x the weight is brought into oneDNN's order first. Where the processor has no bf16
// product a task widens its pictures to f32 (exact) and rounds its results once. The weight's gradient is a
// sum over all pictures: each task's goes to scratch, and they are added in order.
//
// oneDNN's code for SSE reads vectors only where they are aligned: other tensors' pictures are copied.
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

void widen(const void* from, int64_t count, void* to) {
  const auto* narrow = static_cast<const bfloat16*>(from);
  for (int64_t i = 0; i < count; ++i) static_cast<float*>(to)[i] = static_cast<float>(narrow[i]);
}

void narrow(const void* from, int64_t count, void* to) {
  const auto* wide = static_cast<const float*>(from);
  for (int64_t i = 0; i < count; ++i) static_cast<bfloat16*>(to)[i] = bfloat16(wide[i]);
}

// One pass over the batch in tasks of `spec.pictures` pictures, with what it has in scratch: the weight in
// oneDNN's order, or a sum of the weight's gradient for each task. x and y are the gradients in the backward.
class PictureTasks {
 public:
  PictureTasks(const ConvolutionSpec& spec, const TensorView& x, const TensorView& y, const ExecContext& ctx)
      : pass_(spec.pass),
        shape_(spec.shape),
        x_(x),
        y_(y),
        per_task_(spec.part.pictures),
        widens_(must_widen(spec.dtype)),
        copies_(widens_ || !vector_aligned(x) || !vector_aligned(y)),
        whole_(convolution_of(spec, per_task_)),
        last_(convolution_of(spec, pictures(count() - 1))) {
    const auto workers = static_cast<int64_t>(ctx.pool->size());
    const auto element = static_cast<int64_t>(size_of(widens_ ? DType::f32 : spec.dtype));
    const bool sums = pass_ == ConvolutionPass::weights;
    weight_bytes_ = aligned(whole_.weight_bytes());
    scratchpad_bytes_ = aligned(std::max(whole_.scratchpad_bytes(), last_.scratchpad_bytes()));
    x_bytes_ = copies_ ? aligned(per_task_ * shape_.picture() * element) : 0;
    y_bytes_ = copies_ ? aligned(per_task_ * shape_.out_picture() * element) : 0;
    weights_ = plan_.add<std::byte>(weight_bytes_ * (sums ? count() : 1));
    scratchpads_ = plan_.add<std::byte>(scratchpad_bytes_ * workers);
    xs_ = plan_.add<std::byte>(x_bytes_ * workers);
    ys_ = plan_.add<std::byte>(y_bytes_ * workers);
    wide_weight_ = plan_.add<float>(widens_ && !sums ? shape_.weights() : 0);
    plan_.reserve(ctx);
  }

  int64_t count() const { return ceil_div(shape_.batch, per_task_); }
  /// The pictures of a task: the first, and how many.
  int64_t first(int64_t task) const { return task * per_task_; }
  int64_t pictures(int64_t task) const { return std::min(per_task_, shape_.batch - first(task)); }

  void take_weight(const TensorView& weight) const {
    if (widens_) widen(weight.data, shape_.weights(), plan_[wide_weight_]);
    whole_.pack_weight(widens_ ? plan_[wide_weight_] : weight.data, plan_[weights_]);
  }

  /// A task's sums of the weight's gradient, in oneDNN's order: so many floats.
  float* gradient(int64_t task) const {
    return reinterpret_cast<float*>(plan_[weights_] + task * weight_bytes_);
  }
  int64_t gradient_size() const { return static_cast<int64_t>(whole_.weight_bytes() / sizeof(float)); }
  void add_to(float* dweight) const { whole_.add_packed(gradient(0), dweight); }

  void run(int64_t task, int worker) const {
    const int64_t of_x = pictures(task) * shape_.picture(), of_y = pictures(task) * shape_.out_picture();
    void* in_x = element(x_, first(task) * shape_.picture());
    void* in_y = element(y_, first(task) * shape_.out_picture());
    if (!copies_) return convolve(task, worker, in_x, in_y);
    void* task_x = plan_[xs_] + worker * x_bytes_;
    void* task_y = plan_[ys_] + worker * y_bytes_;
    if (pass_ != ConvolutionPass::data) copy_in(in_x, of_x, task_x);
    copy_in(in_y, of_y, task_y);
    convolve(task, worker, task_x, task_y);
    if (pass_ == ConvolutionPass::data) copy_out(task_x, of_x, in_x);
  }

 private:
  Convolution convolution_of(ConvolutionSpec spec, int64_t pictures) const {
    if (widens_) spec.dtype = DType::f32;
    spec.out = spec.dtype;
    spec.like = whole_pictures(spec.shape, per_task_);
    spec.part = whole_pictures(spec.shape, pictures);
    return Convolution::find(spec);
  }

  void convolve(int64_t task, int worker, const void* x, const void* y) const {
    const Convolution& convolution = task == count() - 1 ? last_ : whole_;
    convolution.run(x, gradient(pass_ == ConvolutionPass::weights ? task : 0), y,
                    plan_[scratchpads_] + worker * scratchpad_bytes_);
  }

  void copy_in(const void* from, int64_t count, void* to) const {
    widens_ ? widen(from, count, to) : copy(from, count, to);
  }
  void copy_out(const void* from, int64_t count, void* to) const {
    widens_ ? narrow(from, count, to) : copy(from, count, to);
  }
  void copy(const void* from, int64_t count, void* to) const {
    std::memcpy(to, from, static_cast<size_t>(count) * size_of(x_.dtype));
  }

  ConvolutionPass pass_;
  Conv2dShape shape_;
  TensorView x_, y_;
  int64_t per_task_;
  bool widens_, copies_;
  Convolution whole_, last_;
  int64_t weight_bytes_, scratchpad_bytes_, x_bytes_, y_bytes_;
  ScratchPlan plan_;
  ScratchPlan::Slot<std::byte> weights_{}, scratchpads_{}, xs_{}, ys_{};
  ScratchPlan::Slot<float> wide_weight_{};
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
  const PictureTasks tasks({.pass = ConvolutionPass::data,
                            .shape = s,
                            .part = whole_pictures(s, pictures_of_task(s)),
                            .dtype = p.x.dtype},
                           p.dx, p.dy, ctx);
  tasks.take_weight(p.weight);
  parallel_for(ctx, tasks.count(), [&](int64_t task, int worker) { tasks.run(task, worker); });
}

void weight_gradient(const Conv2dBackward& p, const Conv2dShape& s, const ExecContext& ctx) {
  const PictureTasks slices({.pass = ConvolutionPass::weights,
                             .shape = s,
                             .part = whole_pictures(s, pictures_of_slice(s)),
                             .dtype = p.x.dtype},
                            p.x, p.dy, ctx);
  parallel_for(ctx, slices.count(), [&](int64_t slice, int worker) { slices.run(slice, worker); });
  float* sums = slices.gradient(0);
  const int64_t size = slices.count() == 1 ? 0 : slices.gradient_size();
  parallel_for(ctx, ceil_div(size, kAddedTogether), [&](int64_t task, int) {
    const int64_t begin = task * kAddedTogether, end = std::min(size, begin + kAddedTogether);
    for (int64_t slice = 1; slice < slices.count(); ++slice) {
      const float* from = slices.gradient(slice);
      for (int64_t i = begin; i < end; ++i) sums[i] += from[i];
    }
  });
  slices.add_to(p.dweight.as<float>());
}

}  // namespace

void conv2d_backward_cpu(const Conv2dBackward& p, const ExecContext& ctx) {
  const Conv2dShape s(p.x, p.weight, p.stride, p.padding);
  if (p.dx) data_gradient(p, s, ctx);
  if (p.dweight) weight_gradient(p, s, ctx);
}

}  // namespace cuclip
