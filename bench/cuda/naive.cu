// What becomes of activations; naive_loss.cu has the passes over logits.
#include "bench/cuda/naive.h"

#include "bench/cuda/naive_kernels.cuh"

namespace cuclip::bench::naive {
namespace {

template <typename T>
struct MoveHeads {
  T *packed, *heads;
  int64_t batch, length, count, depth, parts;
  bool split;
  __device__ void operator()(int64_t i) const {
    const int64_t d = i % depth, s = i / depth % length, h = i / depth / length % count,
                  b = i / depth / length / count % batch, part = i / depth / length / count / batch;
    T& there = packed[((b * length + s) * parts + part) * count * depth + h * depth + d];
    if (split) {
      heads[i] = there;
    } else {
      there = heads[i];
    }
  }
};

void move_heads(const TensorView& packed, const TensorView& heads, bool split, const ExecContext& ctx) {
  with_type(packed, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_element(heads.elements(),
                 MoveHeads<T>{packed.as<T>(), heads.as<T>(), heads.size(1), heads.size(3), heads.size(2),
                              heads.size(4), heads.size(0), split},
                 ctx);
  });
}

template <typename T>
struct Softmax {
  T* x;
  float* lse;
  int64_t n;
  float scale;
  bool causal;
  __device__ void operator()(int64_t row, BlockSum sum) const {
    T* const values = x + row * n;
    const int64_t visible = causal ? row % n + 1 : n;
    float max = -INFINITY, total = 0;
    for (int64_t i = threadIdx.x; i < visible; i += kThreads) max = nan_max(max, scale * to_float(values[i]));
    max = block_max(max);
    for (int64_t i = threadIdx.x; i < visible; i += kThreads)
      total += expf(scale * to_float(values[i]) - max);
    const float log_sum = max + logf(sum(total));
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      values[i] = from_float<T>(i < visible ? expf(scale * to_float(values[i]) - log_sum) : 0.0f);
    }
    if (threadIdx.x == 0) lse[row] = log_sum;
  }
};

template <typename T>
struct SoftmaxBackward {
  const T* p;
  T* dp;
  int64_t n;
  float scale;
  __device__ void operator()(int64_t row, BlockSum sum) const {
    float dot = 0;
    for (int64_t i = row * n + threadIdx.x; i < (row + 1) * n; i += kThreads)
      dot += to_float(p[i]) * to_float(dp[i]);
    dot = sum(dot);
    for (int64_t i = row * n + threadIdx.x; i < (row + 1) * n; i += kThreads) {
      dp[i] = from_float<T>(scale * to_float(p[i]) * (to_float(dp[i]) - dot));
    }
  }
};

// mean, or with one given rstd.
template <typename T>
struct RowStatistic {
  const T* x;
  const float* mean;
  float* out;
  int64_t n;
  float eps;
  __device__ void operator()(int64_t row, BlockSum sum) const {
    float total = 0;
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      const float value = to_float(x[row * n + i]) - (mean ? mean[row] : 0.0f);
      total += mean ? value * value : value;
    }
    total = sum(total) / static_cast<float>(n);
    if (threadIdx.x == 0) out[row] = mean ? rsqrtf(total + eps) : total;
  }
};

template <typename T>
struct Normalize {
  const T* x;
  const float *mean, *rstd, *weight, *bias;
  T* y;
  int64_t n;
  __device__ void operator()(int64_t i) const {
    const int64_t row = i / n, column = i % n;
    y[i] = from_float<T>((to_float(x[i]) - mean[row]) * rstd[row] * weight[column] + bias[column]);
  }
};

template <typename T>
struct NormalizeBackward {
  const T *dy, *x;
  const float *weight, *mean, *rstd;
  T* dx;
  int64_t n;
  __device__ void operator()(int64_t row, BlockSum sum) const {
    float g_sum = 0, gx_sum = 0;
    const auto gradient = [&](int64_t i) { return to_float(dy[row * n + i]) * weight[i]; };
    const auto hat = [&](int64_t i) { return (to_float(x[row * n + i]) - mean[row]) * rstd[row]; };
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      g_sum += gradient(i);
      gx_sum += gradient(i) * hat(i);
    }
    g_sum = sum(g_sum) / static_cast<float>(n);
    gx_sum = sum(gx_sum) / static_cast<float>(n);
    for (int64_t i = threadIdx.x; i < n; i += kThreads) {
      dx[row * n + i] = from_float<T>(rstd[row] * (gradient(i) - g_sum - hat(i) * gx_sum));
    }
  }
};

// A thread sums kRows rows of a column.
template <typename T>
struct ColumnSums {
  static constexpr int64_t kRows = 256;
  const T *dy, *x;
  const float *mean, *rstd;
  float *dweight, *dbias;
  int64_t rows, n;
  __device__ void operator()(int64_t i) const {
    const int64_t column = i % n, first = i / n * kRows, last = min(rows, first + kRows);
    float weight_sum = 0, bias_sum = 0;
    for (int64_t row = first; row < last; ++row) {
      const float d = to_float(dy[row * n + column]);
      bias_sum += d;
      if (x) weight_sum += d * (to_float(x[row * n + column]) - mean[row]) * rstd[row];
    }
    atomicAdd(dbias + column, bias_sum);
    if (x) atomicAdd(dweight + column, weight_sum);
  }
};

template <typename T>
struct PlaceTokens {
  const T* patches;
  const float *class_token, *position;
  T* out;
  int64_t tokens, width;
  __device__ void operator()(int64_t i) const {
    const int64_t w = i % width, token = i / width % tokens, b = i / width / tokens;
    const float value =
        token == 0 ? class_token[w] : to_float(patches[(b * (tokens - 1) + token - 1) * width + w]);
    out[i] = from_float<T>(value + position[token * width + w]);
  }
};

template <typename T>
struct ChannelsFirst {
  const T* from;
  T* to;
  int64_t channels, pixels;
  __device__ void operator()(int64_t i) const {
    const int64_t pixel = i % pixels, channel = i / pixels % channels, w = i / pixels / channels;
    to[i] = from[(w * pixels + pixel) * channels + channel];
  }
};

template <typename T>
struct AddBias {
  T* x;
  const float* bias;
  int64_t n;
  __device__ void operator()(int64_t i) const { x[i] = from_float<T>(to_float(x[i]) + bias[i % n]); }
};

}  // namespace

void split_heads(const TensorView& packed, const TensorView& heads, const ExecContext& ctx) {
  move_heads(packed, heads, true, ctx);
}
void merge_heads(const TensorView& heads, const TensorView& packed, const ExecContext& ctx) {
  move_heads(packed, heads, false, ctx);
}

void softmax(const TensorView& x, float scale, bool causal, const TensorView& lse, const ExecContext& ctx) {
  with_type(x, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_row(x.size(0), Softmax<T>{x.as<T>(), lse.as<float>(), x.size(1), scale, causal}, ctx);
  });
}
void softmax_backward(const TensorView& p, const TensorView& dp, float scale, const ExecContext& ctx) {
  with_type(p, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_row(p.size(0), SoftmaxBackward<T>{p.as<T>(), dp.as<T>(), p.size(1), scale}, ctx);
  });
}

void row_mean(const TensorView& x, const TensorView& mean, const ExecContext& ctx) {
  with_type(x, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_row(x.size(0), RowStatistic<T>{x.as<T>(), nullptr, mean.as<float>(), x.size(1), 0}, ctx);
  });
}
void row_rstd(const TensorView& x, const TensorView& mean, float eps, const TensorView& rstd,
              const ExecContext& ctx) {
  with_type(x, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_row(x.size(0), RowStatistic<T>{x.as<T>(), mean.as<float>(), rstd.as<float>(), x.size(1), eps}, ctx);
  });
}
void normalize(const TensorView& x, const TensorView& mean, const TensorView& rstd, const TensorView& weight,
               const TensorView& bias, const TensorView& y, const ExecContext& ctx) {
  with_type(x, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_element(x.elements(),
                 Normalize<T>{x.as<T>(), mean.as<float>(), rstd.as<float>(), weight.as<float>(),
                              bias.as<float>(), y.as<T>(), x.size(1)},
                 ctx);
  });
}
void normalize_backward(const TensorView& dy, const TensorView& x, const TensorView& weight,
                        const TensorView& mean, const TensorView& rstd, const TensorView& dx,
                        const ExecContext& ctx) {
  with_type(x, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_row(x.size(0),
             NormalizeBackward<T>{dy.as<T>(), x.as<T>(), weight.as<float>(), mean.as<float>(),
                                  rstd.as<float>(), dx.as<T>(), x.size(1)},
             ctx);
  });
}
void column_sums(const TensorView& dy, const TensorView& x, const TensorView& mean, const TensorView& rstd,
                 const TensorView& dweight, const TensorView& dbias, const ExecContext& ctx) {
  with_type(dy, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    const int64_t rows = dy.size(0), n = dy.size(1);
    each_element(ceil_div(rows, ColumnSums<T>::kRows) * n,
                 ColumnSums<T>{dy.as<T>(), static_cast<const T*>(x.data), static_cast<float*>(mean.data),
                               static_cast<float*>(rstd.data), static_cast<float*>(dweight.data),
                               dbias.as<float>(), rows, n},
                 ctx);
  });
}
void place_tokens(const TensorView& patches, const TensorView& class_token, const TensorView& position,
                  const TensorView& out, const ExecContext& ctx) {
  with_type(out, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_element(out.elements(),
                 PlaceTokens<T>{patches.as<T>(), class_token.as<float>(), position.as<float>(), out.as<T>(),
                                out.size(1), out.size(2)},
                 ctx);
  });
}
void channels_first(const TensorView& from, const TensorView& to, const ExecContext& ctx) {
  with_type(to, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_element(to.elements(),
                 ChannelsFirst<T>{from.as<T>(), to.as<T>(), to.size(1), to.size(2) * to.size(3)}, ctx);
  });
}

void add_bias(const TensorView& x, const TensorView& bias, const ExecContext& ctx) {
  with_type(x, [&](auto* t) {
    using T = CUCLIP_TYPE(t);
    each_element(x.elements(), AddBias<T>{x.as<T>(), bias.as<float>(), x.size(1)}, ctx);
  });
}

}  // namespace cuclip::bench::naive
