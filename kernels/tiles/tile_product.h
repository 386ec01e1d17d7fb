// One matrix product on the calling thread: the building block of every CPU kernel that multiplies matrices.
//
// oneDNN does the arithmetic. It is kept to one thread, because its own threading makes the result depend on
// the number of threads; parallelism comes from kernels that cut their work into tiles only by shape.
#pragma once

#include <cstdint>
#include <string>

#include "kernels/common/dtype.h"

namespace cuclip {

/// C[m, n] = op(A)[m, k] · op(B)[k, n], or += with `accumulate`. All row-major.
struct TileProduct {
  const void* a = nullptr;  // [m, k] with row stride lda; [k, m] with transpose_a
  const void* b = nullptr;  // [k, n] with row stride ldb; [n, k] with transpose_b
  void* c = nullptr;        // [m, n] with row stride ldc
  int64_t m = 0, n = 0, k = 0;
  int64_t lda = 0, ldb = 0, ldc = 0;  // in elements
  bool transpose_a = false;
  bool transpose_b = false;
  DType input = DType::f32;   // of A and B: f32 or bf16
  DType output = DType::f32;  // of C: f32, or bf16 with bf16 inputs
  bool accumulate = false;    // C is read: f32 output only
};

/// Computes the product on the calling thread. Sums are f32; the result depends only on the arguments. k = 0
/// gives zeros (or leaves C with `accumulate`). C must not overlap A or B. Where the processor has no bf16
/// product (below AVX-512), bf16 inputs are widened to f32, exactly, which is slower.
/// Asynchronous signals wait on this thread until the product, or the SignalScope that it is part of, ends.
/// Throws Error with oneDNN's reason.
void tile_product(const TileProduct& p);

/// True when this processor has products of bf16 inputs in hardware or oneDNN's emulation of them.
bool has_native_bf16_product();

/// True when such inputs have to be widened to f32 on this processor.
bool must_widen(DType input);

/// A line for people that says so; empty where they need not be.
std::string widening_note(DType input);

}  // namespace cuclip
