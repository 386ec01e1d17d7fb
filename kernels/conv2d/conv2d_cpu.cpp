// The convolution's forward on the CPU: oneDNN's, of some rows of one picture or of some whole pictures in
// each task, which the shape alone decides. What becomes of the sums takes a pass over the task's results
// while they are in the cache; those of bf16 are f32 until then.
//
// The weight is brought into oneDNN's order first. Where the processor has no bf16 product a task widens its
// part of x to f32 (exact). oneDNN's code for SSE reads vectors only where they are aligned: other tensors'
// parts are copied.
#include <algorithm>
#include <cmath>
#include <cstring>

#include "kernels/common/scratch_plan.h"
#include "kernels/conv2d/conv2d_cpu.h"
#include "kernels/conv2d/convolution.h"
#include "kernels/conv2d/copy_pixels.h"
#include "kernels/tiles/tile_product.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/conv2d/conv2d_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

#ifndef CUCLIP_CONV2D_CPU_ONCE_
#define CUCLIP_CONV2D_CPU_ONCE_
namespace cuclip {
namespace {

// What becomes of a task's sums: y = relu(scale * sums + bias + residual), each optional.
struct Epilogue {
  const float* sums;  // may be y
  const float* scale;
  const float* bias;
  const void* residual;
  bool relu;
  void* y;
  DType dtype;  // of y and residual
  int64_t rows, channels;
};

}  // namespace
}  // namespace cuclip
#endif

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

template <typename T, typename Span>
HWY_INLINE void epilogue_vector(const Span span, const Epilogue& p, VF least, int64_t at, int64_t c) {
  VF v = span.get(p.sums + at + c);
  if (p.scale) v = hn::Mul(v, span.get(p.scale + c));
  if (p.bias) v = hn::Add(v, span.get(p.bias + c));
  if (p.residual) v = hn::Add(v, span.get(static_cast<const T*>(p.residual) + at + c));
  span.put(hn::IfThenElse(hn::Lt(v, least), least, v), static_cast<T*>(p.y) + at + c);  // NaN is not below it
}

template <typename T>
void apply_epilogue_as(const Epilogue& p) {
  const VF least = hn::Set(F32(), p.relu ? 0.0f : -HUGE_VALF);
  const int64_t step = lanes();
  for (int64_t row = 0; row < p.rows; ++row) {
    const int64_t at = row * p.channels;
    int64_t c = 0;
    for (; c + step <= p.channels; c += step) epilogue_vector<T>(Whole{}, p, least, at, c);
    if (c < p.channels) epilogue_vector<T>(Partial{p.channels - c}, p, least, at, c);
  }
}

void apply_epilogue(const Epilogue& p) {
  p.dtype == DType::f32 ? apply_epilogue_as<float>(p) : apply_epilogue_as<bfloat16>(p);
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(apply_epilogue);

// Positions of a task: so many tasks that a single picture keeps many threads busy, and each of them, if
// there is so much to do, with enough products to pay for being called and results that stay in the cache.
constexpr int64_t kTasks = 16;
constexpr int64_t kLeastPositions = 24, kLeastProducts = 1 << 20;
constexpr int64_t kMostPositions = 256, kMostProducts = 4 << 20;

int64_t positions_of_task(const Conv2dShape& s) {
  const int64_t products = s.kernel * s.kernel * s.channels * s.outputs;  // for a position
  return std::clamp(s.batch * s.positions() / kTasks, std::max(kLeastPositions, kLeastProducts / products),
                    std::max(kMostPositions, kMostProducts / products));
}

// The tasks: `pictures` whole pictures, or `rows` rows of the result of one.
struct Cut {
  explicit Cut(const Conv2dShape& s, size_t element) : batch(s.batch), height(s.out_height), rows(height) {
    const int64_t positions = positions_of_task(s);
    pictures = std::clamp<int64_t>(positions / s.positions(), 1, batch);
    const int64_t bands = s.positions() / positions;
    if (bands < 2) return;
    // The last rows are not much fewer than the others: oneDNN has no fast code for too few.
    int64_t each = ceil_div(height, bands);
    const auto rest = [&] { return height - (ceil_div(height, each) - 1) * each; };
    while (2 * rest() < each) ++each;
    // Only the first rows and the last may see the border, and rows begin where vectors may.
    const bool inside = s.padding < s.kernel && s.padding <= s.stride * std::min(each, rest());
    const auto starts_aligned = [&](int64_t row) { return row * static_cast<int64_t>(element) % 16 == 0; };
    if (inside && starts_aligned(s.width * s.channels) && starts_aligned(s.out_width * s.outputs))
      rows = each;
  }

  int64_t bands() const { return ceil_div(height, rows); }  // of a picture
  int64_t count() const { return bands() > 1 ? batch * bands() : ceil_div(batch, pictures); }
  int64_t first_picture(int64_t task) const { return bands() > 1 ? task / bands() : task * pictures; }
  int64_t pictures_of(int64_t task) const {
    return bands() > 1 ? 1 : std::min(pictures, batch - first_picture(task));
  }
  int64_t first_row(int64_t task) const { return task % bands() * rows; }
  int64_t rows_of(int64_t task) const { return std::min(rows, height - first_row(task)); }

  int64_t batch, height, rows, pictures;
};

// Whether oneDNN's tiles of bf16 (AMX) take rows of few channels together with what lies beside the window,
// at a weight of zero: NaN would reach results that do not read it. Products of f32 have no such tiles.
bool reads_beside_windows(const Conv2dShape& shape, DType dtype) {
  constexpr int64_t kFewChannels = 8;
  return dtype == DType::bf16 && shape.channels < kFewChannels &&
         dnnl::get_effective_cpu_isa() >= dnnl::cpu_isa::avx512_core_amx;
}

class ForwardTasks {
 public:
  ForwardTasks(const Conv2dForward& p, const ExecContext& ctx)
      : p_(p),
        shape_(p.x, p.weight, p.stride, p.padding),
        cut_(shape_, size_of(p.x.dtype)),
        widens_(must_widen(p.x.dtype) || reads_beside_windows(shape_, p.x.dtype)),
        ends_(widens_ || p.scale || p.bias || p.residual || p.relu),
        copies_x_(widens_ || !vector_aligned(p.x)),
        copies_y_(!vector_aligned(p.y) || (ends_ && p.y.dtype != DType::f32)),
        // Of all others than the first and the last task (of a picture) the second is like all.
        kinds_{convolution_of(0), convolution_of(std::min<int64_t>(1, tasks_like() - 1)),
               convolution_of(tasks_like() - 1)} {
    const int64_t workers = ctx.pool->size();
    size_t scratchpad = 0;
    for (const Convolution& kind : kinds_) scratchpad = std::max(scratchpad, kind.scratchpad_bytes());
    scratchpad_bytes_ = aligned(scratchpad);
    const Part part = part_of(0);
    const int64_t rows_in = std::min(shape_.height, part.height + 2 * shape_.padding);
    x_bytes_ =
        copies_x_ ? aligned(size_of(in_dtype()) * static_cast<size_t>(part.pictures * rows_in * x_row())) : 0;
    y_bytes_ =
        copies_y_
            ? aligned(size_of(sum_dtype()) * static_cast<size_t>(part.pictures * part.out_height * y_row()))
            : 0;
    const auto weights = plan_.add<std::byte>(p.kept ? 0 : std::ssize(kinds_) * most_weight_bytes());
    const auto wide_weight = plan_.add<float>(widens_ ? shape_.weights() : 0);
    scratchpads_ = plan_.add<std::byte>(scratchpad_bytes_ * workers);
    xs_ = plan_.add<std::byte>(x_bytes_ * workers);
    ys_ = plan_.add<std::byte>(y_bytes_ * workers);
    plan_.reserve(ctx);
    for (size_t kind = 0; kind < std::size(kinds_); ++kind) {
      std::byte* own = p.kept ? nullptr : plan_[weights] + static_cast<int64_t>(kind) * most_weight_bytes();
      weights_[kind] = weight_of(ctx, kind, own, plan_[wide_weight]);
    }
  }

  int64_t count() const { return cut_.count(); }

  void run(int64_t task, int worker) const {
    const Part part = part_of(task);
    const int64_t picture = cut_.first_picture(task);
    const int64_t first_in = std::max<int64_t>(0, cut_.first_row(task) * shape_.stride - shape_.padding);
    const void* x = element(p_.x, (picture * shape_.height + first_in) * x_row());
    const int64_t at = (picture * shape_.out_height + cut_.first_row(task)) * y_row();
    void* y = element(p_.y, at);
    const int64_t of_y = part.pictures * part.out_height * y_row();
    void* sums = copies_y_ ? plan_[ys_] + worker * y_bytes_ : y;
    if (copies_x_) {
      std::byte* copy = plan_[xs_] + worker * x_bytes_;
      copy_values(x, p_.x.dtype, copy, in_dtype(), part.pictures * part.height * x_row());
      x = copy;
    }
    const size_t kind = kind_of(task);
    kinds_[kind].run(x, weights_[kind], sums, plan_[scratchpads_] + worker * scratchpad_bytes_);
    if (ends_) {
      HWY_DYNAMIC_DISPATCH(apply_epilogue)
      ({.sums = static_cast<const float*>(sums),
        .scale = p_.scale ? p_.scale.as<float>() : nullptr,
        .bias = p_.bias ? p_.bias.as<float>() : nullptr,
        .residual = p_.residual ? element(p_.residual, at) : nullptr,
        .relu = p_.relu,
        .y = y,
        .dtype = p_.y.dtype,
        .rows = of_y / shape_.outputs,
        .channels = shape_.outputs});
    } else if (copies_y_) {
      std::memcpy(y, sums, static_cast<size_t>(of_y) * size_of(p_.y.dtype));
    }
  }

 private:
  int64_t most_weight_bytes() const {
    size_t bytes = 0;
    for (const Convolution& kind : kinds_) bytes = std::max(bytes, kind.weight_bytes());
    return aligned(bytes);
  }

  // The weight as the kind of task reads it: another's, one that was kept, or put into order, in `own` where
  // none are kept.
  const void* weight_of(const ExecContext& ctx, size_t kind, void* own, float* wide) const {
    const Convolution& convolution = kinds_[kind];
    for (size_t other = 0; other < kind; ++other) {
      if (kinds_[other].weight_order() == convolution.weight_order()) return weights_[other];
    }
    if (!p_.kept) return pack_weight(ctx, convolution, own, wide);
    if (const void* kept = p_.kept->find(convolution.weight_order())) return kept;
    auto copy = std::make_unique<PackedWeight::Copy>();
    copy->order = convolution.weight_order();
    copy->weight = pack_weight(ctx, convolution, copy->memory.reserve(convolution.weight_bytes()), wide);
    return p_.kept->add(std::move(copy));
  }

  const void* pack_weight(const ExecContext& ctx, const Convolution& convolution, void* to,
                          float* wide) const {
    if (widens_) {
      const int64_t each = shape_.weights() / shape_.outputs;
      parallel_for(ctx, shape_.outputs, [&](int64_t output, int) {
        copy_values(element(p_.weight, output * each), p_.weight.dtype, wide + output * each, DType::f32,
                    each);
      });
    }
    const void* from = widens_ ? wide : p_.weight.data;
    parallel_for(ctx, convolution.pack_pieces(),
                 [&](int64_t piece, int) { convolution.pack_weight(from, to, piece); });
    return to;
  }

  int64_t x_row() const { return shape_.width * shape_.channels; }
  int64_t y_row() const { return shape_.out_width * shape_.outputs; }
  DType in_dtype() const { return widens_ ? DType::f32 : p_.x.dtype; }
  DType sum_dtype() const { return ends_ ? DType::f32 : p_.x.dtype; }

  // Of the tasks after so many, each is like one of them.
  int64_t tasks_like() const { return cut_.bands() > 1 ? cut_.bands() : cut_.count(); }
  size_t kind_of(int64_t task) const {
    const int64_t of = task % tasks_like();
    return of == tasks_like() - 1 ? 2 : of == 0 ? 0 : 1;
  }

  Part part_of(int64_t task) const {
    const int64_t pictures = cut_.pictures_of(task), rows = cut_.rows_of(task);
    if (cut_.bands() == 1) return whole_pictures(shape_, pictures);
    const int64_t begin = cut_.first_row(task) * shape_.stride - shape_.padding;
    const int64_t end = begin + (rows - 1) * shape_.stride + shape_.kernel;
    const int64_t top = std::max<int64_t>(0, -begin), bottom = std::max<int64_t>(0, end - shape_.height);
    return {.pictures = 1,
            .height = end - begin - top - bottom,
            .out_height = rows,
            .top = top,
            .bottom = bottom};
  }

  Convolution convolution_of(int64_t task) const {
    return Convolution::find({.pass = ConvolutionPass::forward,
                              .shape = shape_,
                              .part = part_of(task),
                              .like = part_of(task),
                              .dtype = in_dtype(),
                              .out = sum_dtype()});
  }

  const Conv2dForward& p_;
  Conv2dShape shape_;
  Cut cut_;
  bool widens_, ends_, copies_x_, copies_y_;
  Convolution kinds_[3];
  int64_t scratchpad_bytes_ = 0, x_bytes_ = 0, y_bytes_ = 0;
  ScratchPlan plan_;
  ScratchPlan::Slot<std::byte> scratchpads_{}, xs_{}, ys_{};
  const void* weights_[3];  // of each kind, in its order
};

}  // namespace

void conv2d_forward_cpu(const Conv2dForward& p, const ExecContext& ctx) {
  const ForwardTasks tasks(p, ctx);
  parallel_for(ctx, tasks.count(), [&](int64_t task, int worker) { tasks.run(task, worker); });
}

}  // namespace cuclip
#endif  // HWY_ONCE
