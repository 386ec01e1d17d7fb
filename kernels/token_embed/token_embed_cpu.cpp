// Token embedding on the CPU.
//
// Forward: tasks are groups of rows. Backward: tasks are strips of columns, each of which walks over all
// tokens in order. No two tasks write the same element, nothing needs sorting, and the load is balanced
// however often one token occurs (captions are mostly padding, which is one row of the table).
#include "kernels/token_embed/token_embed_cpu.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/token_embed/token_embed_cpu.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

template <typename T>
void forward_rows_of(const TokenEmbedForward& p, int64_t begin, int64_t end) {
  const int64_t length = p.tokens.size(1);
  const int64_t width = p.table.size(1);
  const int32_t* tokens = p.tokens.as<int32_t>();
  const float* table = p.table.as<float>();
  const float* position = p.position.as<float>();
  T* out = p.out.as<T>();
  for (int64_t i = begin; i < end; ++i) {
    add_arrays(table + tokens[i] * width, position + i % length * width, out + i * width, width);
  }
}

void forward_rows(const TokenEmbedForward& p, int64_t begin, int64_t end) {
  if (p.out.dtype == DType::f32) {
    forward_rows_of<float>(p, begin, end);
  } else {
    forward_rows_of<bfloat16>(p, begin, end);
  }
}

template <typename T>
void backward_columns_of(const TokenEmbedBackward& p, int64_t begin, int64_t n) {
  const int64_t rows = p.tokens.elements();
  const int64_t length = p.tokens.size(1);
  const int64_t width = p.dtable.size(1);
  const int32_t* tokens = p.tokens.as<int32_t>();
  const T* dout = p.dout.as<T>() + begin;
  float* dtable = p.dtable.as<float>() + begin;
  float* dposition = p.dposition.as<float>() + begin;
  for (int64_t i = 0; i < rows; ++i) {
    float* token_row = dtable + tokens[i] * width;
    float* position_row = dposition + i % length * width;
    add_arrays(token_row, dout + i * width, token_row, n);
    add_arrays(position_row, dout + i * width, position_row, n);
  }
}

void backward_columns(const TokenEmbedBackward& p, int64_t begin, int64_t n) {
  if (p.dout.dtype == DType::f32) {
    backward_columns_of<float>(p, begin, n);
  } else {
    backward_columns_of<bfloat16>(p, begin, n);
  }
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(forward_rows);
HWY_EXPORT(backward_columns);

constexpr int64_t kForwardElements = 64 * 1024;  // of a task, about
constexpr int64_t kColumns = 64;                 // of a backward task: whole cache lines in f32 and bf16

void check_tokens(std::string_view operation, const TensorView& tokens, int64_t vocabulary) {
  const int32_t* values = tokens.as<int32_t>();
  for (int64_t i = 0; i < tokens.elements(); ++i) {
    CUCLIP_CHECK(values[i] >= 0 && values[i] < vocabulary,
                 "{}: tokens[{}, {}] is {}, outside the vocabulary of {}", operation, i / tokens.size(1),
                 i % tokens.size(1), values[i], vocabulary);
  }
}

}  // namespace

void token_embed_forward_cpu(const TokenEmbedForward& p, const ExecContext& ctx) {
  check_tokens("token_embed_forward", p.tokens, p.table.size(0));
  const int64_t rows = p.tokens.elements();
  const int64_t group = std::max<int64_t>(1, kForwardElements / std::max<int64_t>(1, p.table.size(1)));
  parallel_for(ctx, ceil_div(rows, group), [&](int64_t task, int) {
    HWY_DYNAMIC_DISPATCH(forward_rows)(p, task * group, std::min(rows, (task + 1) * group));
  });
}

void token_embed_backward_cpu(const TokenEmbedBackward& p, const ExecContext& ctx) {
  check_tokens("token_embed_backward", p.tokens, p.dtable.size(0));
  const int64_t width = p.dtable.size(1);
  parallel_for(ctx, ceil_div(width, kColumns), [&](int64_t task, int) {
    const int64_t begin = task * kColumns;
    HWY_DYNAMIC_DISPATCH(backward_columns)(p, begin, std::min(kColumns, width - begin));
  });
}

}  // namespace cuclip
#endif  // HWY_ONCE
