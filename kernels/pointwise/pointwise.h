// Element-wise operations over contiguous tensors of any shape, up to Shape::kMaxRank dimensions. Each result
// is computed in f32 and rounded once. An output may be the memory of an input of the same dtype. NaN stays
// NaN.
#pragma once

#include "kernels/common/exec_context.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// out = x in out's dtype (f32 or bf16, either way; round to nearest, ties to even).
struct Cast {
  TensorView x;
  TensorView out;
};

/// out = a + b, all of one dtype (f32 or bf16).
struct Add {
  TensorView a;
  TensorView b;
  TensorView out;
};

/// The two that CLIP models use, and that are not interchangeable:
///   quick_gelu  x * sigmoid(1.702 x)          (OpenAI's weights)
///   gelu        x * Phi(x), through erf       (open_clip's; Hendrycks & Gimpel 2016)
enum class Activation : uint8_t { gelu, quick_gelu };

/// y = f(x), of one dtype (f32 or bf16).
struct ActivationForward {
  TensorView x;
  TensorView y;
  Activation kind = Activation::gelu;
};

/// dx = dy * f'(x), of one dtype (f32 or bf16); x is the forward's input.
struct ActivationBackward {
  TensorView x;
  TensorView dy;
  TensorView dx;
  Activation kind = Activation::gelu;
};

/// out = value everywhere (f32 or bf16).
struct Fill {
  TensorView out;
  float value = 0.0f;
};

/// x = low where it is below, high where it is above (f32), in place.
struct Clamp {
  TensorView x;
  float low;
  float high;
};

/// All throw InputError for a missing tensor, shapes or dtypes that differ, or strides that are not
/// contiguous.
void cast(const Cast& p, const ExecContext& ctx);
void add(const Add& p, const ExecContext& ctx);
void activation_forward(const ActivationForward& p, const ExecContext& ctx);
void activation_backward(const ActivationBackward& p, const ExecContext& ctx);
void fill(const Fill& p, const ExecContext& ctx);
void clamp(const Clamp& p, const ExecContext& ctx);

}  // namespace cuclip
