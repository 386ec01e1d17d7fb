// How a fresh parameter's values are drawn.
#pragma once

#include <cmath>
#include <cstdint>

#include "core/tensor.h"

namespace cuclip {

/// 1/√n, in f32.
inline float inverse_sqrt(int64_t n) { return 1.0f / std::sqrt(static_cast<float>(n)); }

/// A distribution of initial values. The random ones have the mean zero.
class Initialiser {
 public:
  static Initialiser constant(float value) { return {Kind::constant, value}; }
  static Initialiser zeros() { return constant(0.0f); }
  static Initialiser ones() { return constant(1.0f); }
  static Initialiser normal(float stddev) { return {Kind::normal, stddev}; }
  /// In [-bound, bound).
  static Initialiser uniform(float bound) { return {Kind::uniform, bound}; }
  /// PyTorch's for the weights and biases of Linear and Conv2d: uniform in ±1/√fan_in, where fan_in inputs
  /// make up an output.
  static Initialiser fan_in(int64_t fan_in) { return uniform(inverse_sqrt(fan_in)); }
  /// Xavier-uniform for a matrix [rows, columns] (Glorot and Bengio 2010, "Understanding the difficulty of
  /// training deep feedforward neural networks").
  static Initialiser xavier(int64_t rows, int64_t columns) {
    return uniform(std::sqrt(6.0f) * inverse_sqrt(rows + columns));
  }

  /// Fills a tensor (f32, any shape) from the random numbers of this seed and stream (kernels/random).
  void fill(Context& context, const Tensor& out, uint64_t seed, uint64_t stream) const;

 private:
  enum class Kind : uint8_t { constant, normal, uniform };
  Initialiser(Kind kind, float value) : kind_(kind), value_(value) {}
  Kind kind_;
  float value_;  // the constant, the standard deviation, or the bound
};

}  // namespace cuclip
