#include "kernels/tiles/tile_product.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/common/check.h"
#include "kernels/tiles/one_dnn.h"

namespace cuclip {
namespace {

struct Product {
  dnnl::memory::desc a, b, c, scratchpad;
  dnnl::matmul primitive;
};

using Products = PrimitiveCache<11, Product>;

// What a oneDNN primitive depends on: the arguments without the pointers.
Products::Key key_of(const TileProduct& p) {
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

// oneDNN's objects of one thread.
struct ThreadState {
  dnnl::engine engine{dnnl::engine::kind::cpu, 0};
  dnnl::stream stream{engine};
  Products products;
  std::vector<std::byte> scratchpad;
  std::array<std::vector<float>, 2> widened;

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
    const Product& product = products.find(key_of(p), [&] { return create(p); });
    if (scratchpad.size() < product.scratchpad.get_size()) {
      scratchpad.clear();  // what is in it need not be moved
      scratchpad.resize(product.scratchpad.get_size());
    }
    product.primitive.execute(stream,
                              {{DNNL_ARG_SRC, wrap(product.a, engine, p.a)},
                               {DNNL_ARG_WEIGHTS, wrap(product.b, engine, p.b)},
                               {DNNL_ARG_DST, wrap(product.c, engine, p.c)},
                               {DNNL_ARG_SCRATCHPAD, wrap(product.scratchpad, engine, scratchpad.data())}});
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

bool must_widen(DType input) { return input == DType::bf16 && !has_native_bf16_product(); }

std::string widening_note(DType input) {
  if (!must_widen(input)) return "";
  return "this processor has no bf16 matrix product (AVX-512); using f32, more slowly";
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
  const OneDnnScope scope;
  try {
    if (must_widen(p.input)) {
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
