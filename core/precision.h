// The precision that a model runs in, by name.
#pragma once

#include <array>
#include <string_view>

#include "core/context.h"
#include "core/words.h"

namespace cuclip {

/// tf32: as fp32, with products on CUDA's tensor cores. bf16: activations and products.
enum class Precision { fp32, tf32, bf16 };
template <>
inline constexpr std::array<std::string_view, 3> kWords<Precision>{"fp32", "tf32", "bf16"};

/// What the help of --precision says, of every command.
inline constexpr const char* kPrecisionHelp =
    "fp32; tf32: the same with products on CUDA's tensor cores; bf16 activations and products";

inline DType activation_dtype(Precision precision) {
  return precision == Precision::bf16 ? DType::bf16 : DType::f32;
}

/// Lets the context's products of f32 round to tf32 where the precision says so; throws as use_tf32 does.
inline void use_precision(Context& context, Precision precision) {
  if (precision == Precision::tf32) context.use_tf32();
}

}  // namespace cuclip
