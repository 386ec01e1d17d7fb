// Pointwise operations on the CPU: one pass over memory, cut into ranges of kRange elements.
#include "kernels/pointwise/pointwise_cpu.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/pointwise/pointwise_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/pointwise/activation-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

struct Identity {
  static HWY_INLINE VF apply(VF x) { return x; }
};
struct Sum {
  static HWY_INLINE VF apply(VF a, VF b) { return hn::Add(a, b); }
};
struct Gelu {
  static HWY_INLINE VF apply(VF x) { return gelu(x); }
};
struct QuickGelu {
  static HWY_INLINE VF apply(VF x) { return quick_gelu(x); }
};
struct GeluGradient {
  static HWY_INLINE VF apply(VF x, VF dy) { return hn::Mul(dy, gelu_derivative(x)); }
};
struct QuickGeluGradient {
  static HWY_INLINE VF apply(VF x, VF dy) { return hn::Mul(dy, quick_gelu_derivative(x)); }
};

// out[i] = Op(inputs[i]...) for i in [0, n).
template <typename Op, typename Out, typename... In>
void map(int64_t n, Out* out, const In*... inputs) {
  const int64_t step = lanes();
  int64_t i = 0;
  for (; i + step <= n; i += step) store(Op::apply(load(inputs + i)...), out + i);
  if (i < n) store_n(Op::apply(load_n(inputs + i, n - i)...), out + i, n - i);
}

// The range [begin, begin + n) of one tensor in, one out, of one dtype.
template <typename Op>
void map_unary(const TensorView& x, const TensorView& out, int64_t begin, int64_t n) {
  if (x.dtype == DType::f32) {
    map<Op>(n, out.as<float>() + begin, x.as<float>() + begin);
  } else {
    map<Op>(n, out.as<bfloat16>() + begin, x.as<bfloat16>() + begin);
  }
}

template <typename Op>
void map_binary(const TensorView& a, const TensorView& b, const TensorView& out, int64_t begin, int64_t n) {
  if (a.dtype == DType::f32) {
    map<Op>(n, out.as<float>() + begin, a.as<float>() + begin, b.as<float>() + begin);
  } else {
    map<Op>(n, out.as<bfloat16>() + begin, a.as<bfloat16>() + begin, b.as<bfloat16>() + begin);
  }
}

void cast_range(const Cast& p, int64_t begin, int64_t n) {
  if (p.x.dtype == p.out.dtype) {
    map_unary<Identity>(p.x, p.out, begin, n);
  } else if (p.x.dtype == DType::f32) {
    map<Identity>(n, p.out.as<bfloat16>() + begin, p.x.as<float>() + begin);
  } else {
    map<Identity>(n, p.out.as<float>() + begin, p.x.as<bfloat16>() + begin);
  }
}

void add_range(const Add& p, int64_t begin, int64_t n) { map_binary<Sum>(p.a, p.b, p.out, begin, n); }

void activation_forward_range(const ActivationForward& p, int64_t begin, int64_t n) {
  if (p.kind == Activation::gelu) {
    map_unary<Gelu>(p.x, p.y, begin, n);
  } else {
    map_unary<QuickGelu>(p.x, p.y, begin, n);
  }
}

void activation_backward_range(const ActivationBackward& p, int64_t begin, int64_t n) {
  if (p.kind == Activation::gelu) {
    map_binary<GeluGradient>(p.x, p.dy, p.dx, begin, n);
  } else {
    map_binary<QuickGeluGradient>(p.x, p.dy, p.dx, begin, n);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(cast_range);
HWY_EXPORT(add_range);
HWY_EXPORT(activation_forward_range);
HWY_EXPORT(activation_backward_range);

// Elements per task: some tens of microseconds of work, beside which handing out tasks costs nothing.
constexpr int64_t kRange = 64 * 1024;

template <typename Range>
void for_ranges(int64_t n, const ExecContext& ctx, Range range) {
  parallel_for(ctx, ceil_div(n, kRange), [&](int64_t task, int) {
    const int64_t begin = task * kRange;
    range(begin, std::min(kRange, n - begin));
  });
}

}  // namespace

void cast_cpu(const Cast& p, const ExecContext& ctx) {
  for_ranges(p.x.elements(), ctx, [&](int64_t begin, int64_t n) {
    HWY_DYNAMIC_DISPATCH(cast_range)(p, begin, n);
  });
}

void add_cpu(const Add& p, const ExecContext& ctx) {
  for_ranges(p.a.elements(), ctx, [&](int64_t begin, int64_t n) {
    HWY_DYNAMIC_DISPATCH(add_range)(p, begin, n);
  });
}

void activation_forward_cpu(const ActivationForward& p, const ExecContext& ctx) {
  for_ranges(p.x.elements(), ctx, [&](int64_t begin, int64_t n) {
    HWY_DYNAMIC_DISPATCH(activation_forward_range)(p, begin, n);
  });
}

void activation_backward_cpu(const ActivationBackward& p, const ExecContext& ctx) {
  for_ranges(p.x.elements(), ctx, [&](int64_t begin, int64_t n) {
    HWY_DYNAMIC_DISPATCH(activation_backward_range)(p, begin, n);
  });
}

void fill_cpu(const Fill& p, const ExecContext& ctx) {
  for_ranges(p.out.elements(), ctx, [&](int64_t begin, int64_t n) {
    if (p.out.dtype == DType::f32) {
      std::fill_n(p.out.as<float>() + begin, n, p.value);
    } else {
      std::fill_n(p.out.as<bfloat16>() + begin, n, bfloat16(p.value));
    }
  });
}

void clamp_cpu(const Clamp& p, const ExecContext& ctx) {
  for_ranges(p.x.elements(), ctx, [&](int64_t begin, int64_t n) {
    float* x = p.x.as<float>() + begin;
    std::transform(x, x + n, x, [&](float value) { return std::clamp(value, p.low, p.high); });
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
