#include "kernels/tiles/tile_product.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <functional>
#include <mutex>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>
#include <vector>

#include "kernels/common/check.h"
#include "kernels/common/signals.h"

// oneDNN is built on GNU OpenMP; these two are all that is needed of it.
extern "C" {
void omp_set_num_threads(int);
int omp_get_max_threads();
}

namespace cuclip {
namespace {

// Primitives kept for each thread. Shapes repeat from step to step; a cache that outgrows this is emptied.
constexpr size_t kMaxCachedProducts = 512;

class SingleThreadedOpenMp {
 public:
  SingleThreadedOpenMp() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  ~SingleThreadedOpenMp() {
    if (before_ != 1) omp_set_num_threads(before_);
  }

 private:
  int before_;
};

// What a oneDNN primitive depends on: the arguments without the pointers.
using Key = std::array<int64_t, 11>;

Key key_of(const TileProduct& p) {
  return {p.m,
          p.n,
          p.k,
          p.lda,
          p.ldb,
          p.ldc,
          p.transpose_a,
          p.transpose_b,
          static_cast<int64_t>(p.input),
          static_cast<int64_t>(p.output),
          p.accumulate};
}

struct KeyHash {
  size_t operator()(const Key& key) const {
    uint64_t h = 0xcbf29ce484222325u;
    for (int64_t v : key) h = (h ^ static_cast<uint64_t>(v)) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 29);
  }
};

dnnl::memory::data_type to_dnnl(DType dtype) {
  return dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

struct Product {
  dnnl::memory::desc a, b, c, scratchpad;
  dnnl::matmul primitive;
};

// oneDNN's objects of one thread. Nothing here changes a result; it only saves setting up again.
struct ThreadState {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  std::unordered_map<Key, Product, KeyHash> products;
  std::vector<std::byte> scratchpad;
  std::array<std::vector<float>, 2> widened;

  const Product& find(const TileProduct& p) {
    const Key key = key_of(p);
    if (auto it = products.find(key); it != products.end()) return it->second;
    if (products.size() >= kMaxCachedProducts) products.clear();
    return products.emplace(key, create(p)).first->second;
  }

  Product create(const TileProduct& p) const {
    using dnnl::memory;
    const auto in = to_dnnl(p.input);
    Product product;
    product.a = memory::desc({p.m, p.k}, in, p.transpose_a ? memory::dims{1, p.lda} : memory::dims{p.lda, 1});
    product.b = memory::desc({p.k, p.n}, in, p.transpose_b ? memory::dims{1, p.ldb} : memory::dims{p.ldb, 1});
    product.c = memory::desc({p.m, p.n}, to_dnnl(p.output), memory::dims{p.ldc, 1});
    dnnl::primitive_attr attributes;
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
    if (p.accumulate) {
      dnnl::post_ops sum;
      sum.append_sum(1.0f);
      attributes.set_post_ops(sum);
    }
#if DNNL_VERSION_MAJOR < 3
    const dnnl::matmul::primitive_desc description(dnnl::matmul::desc(product.a, product.b, product.c),
                                                   attributes, engine);
#else
    const dnnl::matmul::primitive_desc description(engine, product.a, product.b, product.c, attributes);
#endif
    product.scratchpad = description.scratchpad_desc();
    product.primitive = dnnl::matmul(description);
    return product;
  }

  void execute(const TileProduct& p) {
    const Product& product = find(p);
    scratchpad.resize(std::max(scratchpad.size(), product.scratchpad.get_size()));
    const auto wrap = [&](const dnnl::memory::desc& desc, const void* data) {
      return dnnl::memory(desc, engine, const_cast<void*>(data));
    };
    product.primitive.execute(stream, {{DNNL_ARG_SRC, wrap(product.a, p.a)},
                                       {DNNL_ARG_WEIGHTS, wrap(product.b, p.b)},
                                       {DNNL_ARG_DST, wrap(product.c, p.c)},
                                       {DNNL_ARG_SCRATCHPAD, wrap(product.scratchpad, scratchpad.data())}});
  }
};

ThreadState& thread_state() {
  thread_local ThreadState state;
  return state;
}

const float* widen(std::vector<float>& to, const void* from, int64_t rows, int64_t row_stride,
                   int64_t columns) {
  to.resize(static_cast<size_t>(rows * columns));
  const auto* source = static_cast<const bfloat16*>(from);
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t c = 0; c < columns; ++c) {
      to[static_cast<size_t>(r * columns + c)] = static_cast<float>(source[r * row_stride + c]);
    }
  }
  return to.data();
}

// The same product with the inputs widened to f32 (exact) and the result rounded once.
void execute_widened(const TileProduct& p, ThreadState& state) {
  static std::once_flag warned;
  std::call_once(warned, [] {
    std::fprintf(stderr,
                 "cuclip: this processor has no bf16 matrix product (AVX-512); using f32, more slowly\n");
  });
  TileProduct wide = p;
  wide.input = wide.output = DType::f32;
  const int64_t rows_a = p.transpose_a ? p.k : p.m, columns_a = p.transpose_a ? p.m : p.k;
  const int64_t rows_b = p.transpose_b ? p.n : p.k, columns_b = p.transpose_b ? p.k : p.n;
  wide.a = widen(state.widened[0], p.a, rows_a, p.lda, columns_a);
  wide.b = widen(state.widened[1], p.b, rows_b, p.ldb, columns_b);
  wide.lda = columns_a;
  wide.ldb = columns_b;
  if (p.output == DType::f32) {
    state.execute(wide);
    return;
  }
  std::vector<float> result(static_cast<size_t>(p.m * p.n));
  wide.c = result.data();
  wide.ldc = p.n;
  state.execute(wide);
  for (int64_t i = 0; i < p.m; ++i) {
    for (int64_t j = 0; j < p.n; ++j) {
      static_cast<bfloat16*>(p.c)[i * p.ldc + j] = bfloat16(result[static_cast<size_t>(i * p.n + j)]);
    }
  }
}

}  // namespace

bool has_native_bf16_product() {
  static const bool native = [] {
    try {
      TileProduct p{.m = 16, .n = 16, .k = 16, .lda = 16, .ldb = 16, .ldc = 16, .input = DType::bf16};
      thread_state().create(p);
      return true;
    } catch (const dnnl::error&) {
      return false;
    }
  }();
  return native;
}

void tile_product(const TileProduct& p) {
  if (p.m == 0 || p.n == 0) return;
  if (p.k == 0) {
    if (p.accumulate) return;
    for (int64_t i = 0; i < p.m; ++i) {
      std::memset(static_cast<char*>(p.c) + static_cast<size_t>(i * p.ldc) * size_of(p.output), 0,
                  static_cast<size_t>(p.n) * size_of(p.output));
    }
    return;
  }
  SingleThreadedOpenMp single_threaded;
  SignalScope scope;
  scope.hold();
  try {
    if (p.input == DType::bf16 && !has_native_bf16_product()) {
      execute_widened(p, thread_state());
    } else {
      thread_state().execute(p);
    }
  } catch (const dnnl::error& e) {
    fail("matrix product of {}x{} and {}x{} ({} to {}): oneDNN: {}", p.m, p.k, p.k, p.n, name_of(p.input),
         name_of(p.output), e.what());
  }
}

}  // namespace cuclip
