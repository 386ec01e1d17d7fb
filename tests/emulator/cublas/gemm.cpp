#include "cublas/gemm.h"

#include <dnnl.h>

#include <cstring>
#include <deque>
#include <mutex>
#include <vector>

namespace emu::blas {
namespace {

size_t size_of(cudaDataType type) { return type == CUDA_R_32F ? 4 : 2; }

float read(cudaDataType type, const void* data, int64_t index) {
  if (type == CUDA_R_32F) return static_cast<const float*>(data)[index];
  const uint16_t bits = static_cast<const uint16_t*>(data)[index];
  uint32_t wide;
  float value;
  if (type == CUDA_R_16BF) {
    wide = static_cast<uint32_t>(bits) << 16;
    std::memcpy(&value, &wide, 4);
    return value;
  }
  _Float16 half;
  std::memcpy(&half, &bits, 2);
  return static_cast<float>(half);
}

void write(cudaDataType type, void* data, int64_t index, float value) {
  if (type == CUDA_R_32F) {
    static_cast<float*>(data)[index] = value;
    return;
  }
  uint16_t bits;
  if (type == CUDA_R_16BF) {
    uint32_t wide;
    std::memcpy(&wide, &value, 4);
    bits =
        value != value ? uint16_t{0x7fff} : static_cast<uint16_t>((wide + 0x7fff + (wide >> 16 & 1)) >> 16);
  } else {
    const auto half = static_cast<_Float16>(value);
    std::memcpy(&bits, &half, 2);
  }
  static_cast<uint16_t*>(data)[index] = bits;
}

// A batch's matrix as dense f32 columns.
std::vector<float> dense(const Matrix& matrix, int64_t which) {
  std::vector<float> out(static_cast<size_t>(matrix.rows * matrix.columns));
  for (int64_t column = 0; column < matrix.columns; ++column) {
    for (int64_t row = 0; row < matrix.rows; ++row) {
      out[static_cast<size_t>(column * matrix.rows + row)] =
          read(matrix.type, matrix.data, which * matrix.stride + column * matrix.leading + row);
    }
  }
  return out;
}

float scalar(const Product& product, const void* pointer, float value) {
  return product.scalars_on_device ? *static_cast<const float*>(pointer) : value;
}

// The sums over k of op(A)'s rows or op(B)'s columns.
void bias_gradient(const Product& p, const std::vector<float>& a, const std::vector<float>& b) {
  const bool of_a = p.epilogue == Epilogue::gradient_a;
  for (int64_t i = 0; i < (of_a ? p.m : p.n); ++i) {
    float sum = 0;
    for (int64_t k = 0; k < p.k; ++k) {
      const Matrix& matrix = of_a ? p.a : p.b;
      const bool i_is_row = of_a != matrix.transposed;
      sum += (of_a ? a : b)[static_cast<size_t>(i_is_row ? k * matrix.rows + i : i * matrix.rows + k)];
    }
    write(p.bias_type, p.bias, i, sum);
  }
}

void run_one(const Product& p, float alpha, float beta, int64_t which) {
  const std::vector<float> a = dense(p.a, which), b = dense(p.b, which);
  std::vector<float> d(static_cast<size_t>(p.m * p.n), 0.0f);
  // oneDNN's matrices are row-major: it computes the transposed product.
  if (p.m > 0 && p.n > 0 && p.k > 0) {
    dnnl_sgemm(p.b.transposed ? 'T' : 'N', p.a.transposed ? 'T' : 'N', p.n, p.m, p.k, alpha, b.data(),
               p.b.rows, a.data(), p.a.rows, 0.0f, d.data(), p.m);
  }
  const bool has_bias = p.epilogue == Epilogue::bias || p.epilogue == Epilogue::relu_bias;
  const bool relu = p.epilogue == Epilogue::relu || p.epilogue == Epilogue::relu_bias;
  for (int64_t column = 0; column < p.n; ++column) {
    for (int64_t row = 0; row < p.m; ++row) {
      float value = d[static_cast<size_t>(column * p.m + row)];
      if (beta != 0)
        value += beta * read(p.c.type, p.c.data, which * p.c.stride + column * p.c.leading + row);
      if (has_bias) value += read(p.bias_type, p.bias, row);
      if (relu && value < 0) value = 0;
      write(p.d.type, const_cast<void*>(p.d.data), which * p.d.stride + column * p.d.leading + row, value);
    }
  }
  if (p.epilogue == Epilogue::gradient_a || p.epilogue == Epilogue::gradient_b) bias_gradient(p, a, b);
}

struct Work {
  Product product;
  float alpha = 0, beta = 0;
};

void run(void* data) {
  const Work& work = *static_cast<const Work*>(data);
  const Product& p = work.product;
  for (int64_t which = 0; which < p.batch; ++which)
    run_one(p, scalar(p, p.alpha, work.alpha), scalar(p, p.beta, work.beta), which);
}

// Graphs may replay a product at any later time, so what it needs lives on.
Work* keep(const Work& work) {
  static auto* all = new std::deque<Work>;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  return &all->emplace_back(work);
}

// The runtime learns that the columns are written: a copy of each onto itself.
cudaError_t define(void* data, cudaDataType type, int64_t rows, int64_t columns, int64_t leading,
                   cudaStream_t stream) {
  const size_t size = size_of(type);
  if (rows == 0 || columns == 0) return cudaSuccess;
  return cudaMemcpy2DAsync(data, static_cast<size_t>(leading) * size, data,
                           static_cast<size_t>(leading) * size, static_cast<size_t>(rows) * size,
                           static_cast<size_t>(columns), cudaMemcpyDeviceToDevice, stream);
}

}  // namespace

bool is_supported(cudaDataType type) {
  return type == CUDA_R_32F || type == CUDA_R_16F || type == CUDA_R_16BF;
}

cudaError_t enqueue(const Product& product, cudaStream_t stream) {
  Work work{product, 0, 0};
  if (!product.scalars_on_device) {
    work.alpha = *static_cast<const float*>(product.alpha);
    work.beta = *static_cast<const float*>(product.beta);
  }
  cudaError_t error = cudaLaunchHostFunc(stream, run, keep(work));
  for (int64_t which = 0; error == cudaSuccess && which < product.batch; ++which) {
    auto* at = static_cast<uint8_t*>(const_cast<void*>(product.d.data)) +
               static_cast<size_t>(which * product.d.stride) * size_of(product.d.type);
    error = define(at, product.d.type, product.m, product.n, product.d.leading, stream);
  }
  const bool gradient = product.epilogue == Epilogue::gradient_a || product.epilogue == Epilogue::gradient_b;
  if (error == cudaSuccess && gradient) {
    const int64_t count = product.epilogue == Epilogue::gradient_a ? product.m : product.n;
    error = define(product.bias, product.bias_type, count, 1, count, stream);
  }
  return error;
}

}  // namespace emu::blas
