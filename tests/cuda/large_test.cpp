// Tensors of more than 2^31 elements: indices are 64 bits wide everywhere. What an operation makes of the
// last rows of a large tensor must be what it makes of them alone, bit for bit.
//
// On the emulator only the first and last blocks of each launch are executed (emulate --blocks): memory is
// taken from the system where it is touched, which is at the ends. A GPU computes all of it, where its memory
// suffices.
#include <catch2/catch.hpp>

#include "kernels/adamw/adamw.h"
#include "kernels/attention/attention.h"
#include "kernels/gemm/gemm.h"
#include "kernels/layer_norm/layer_norm.h"
#include "kernels/patch_embed/patch_embed.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/pool/pool.h"
#include "kernels/random/random.h"
#include "kernels/similarity/similarity.h"
#include "kernels/token_embed/token_embed.h"
#include "tests/support/kernel_test.h"

namespace cuclip::test {
namespace {

constexpr int64_t kBeyond = int64_t{1} << 31;
constexpr int64_t kFew = 4;

// Enough rows for the tensor to have more than 2^31 elements.
int64_t rows_of(int64_t row_elements) { return kBeyond / row_elements + kFew + 1; }

struct TooLarge {
  size_t bytes;
};

struct Free {
  void operator()(std::byte* memory) const { device_free(Device::cuda, memory); }
};

// A large tensor, and its last rows as a tensor of their own.
class Rows {
 public:
  Rows(int64_t rows, Shape row, DType dtype)
      : many_(with_rows(row, rows)), dtype_(dtype), few_(Buffer::poisoned(with_rows(row, kFew), dtype)) {
    memory_.reset(static_cast<std::byte*>(device_try_allocate(Device::cuda, bytes())));
    if (!memory_) throw TooLarge{bytes()};
    copy_few();
  }
  Rows& random(double stddev = 1.0) {
    if (dtype_ == DType::u8) {
      for (int64_t i = 0; i < few_.elements(); ++i) few_.edit<uint8_t>()[i] = static_cast<uint8_t>(rng()());
    } else {
      few_ = Buffer::normal(few_.shape(), dtype_, stddev);
    }
    copy_few();
    return *this;
  }
  Rows& zeros() {
    few_ = Buffer::zeros(few_.shape(), dtype_);
    copy_few();
    return *this;
  }
  TensorView many() const { return TensorView(memory_.get(), dtype_, many_); }
  TensorView few() const { return few_.view(); }
  /// Whether the last rows, or only the last `elements` of them, have the bits of the few.
  bool same(int64_t elements = 0) const {
    const size_t size = elements > 0 ? static_cast<size_t>(elements) * size_of(dtype_) : few_bytes();
    std::vector<uint8_t> there(size), expected(size);
    const auto* few = static_cast<const std::byte*>(few_.view().data);
    device_copy(Device::cuda, there.data(), memory_.get() + bytes() - size, size, test_stream());
    device_copy(Device::cuda, expected.data(), few + few_bytes() - size, size, test_stream());
    device_synchronize(Device::cuda, test_stream());
    return there == expected;
  }

 private:
  static Shape with_rows(const Shape& row, int64_t rows) {
    std::vector<int64_t> extents{rows};
    for (int i = 0; i < row.rank(); ++i) extents.push_back(row[i]);
    return Shape(std::span<const int64_t>(extents));
  }
  size_t bytes() const { return static_cast<size_t>(many_.elements()) * size_of(dtype_); }
  size_t few_bytes() const { return static_cast<size_t>(few_.elements()) * size_of(dtype_); }
  std::byte* tail() const { return memory_.get() + (bytes() - few_bytes()); }
  void copy_few() const {
    device_copy(Device::cuda, tail(), few_.view().data, few_bytes(), test_stream());
    device_synchronize(Device::cuda, test_stream());
  }

  Shape many_;
  DType dtype_;
  Buffer few_;
  std::unique_ptr<std::byte, Free> memory_;
};

// Runs a test's body where there is memory for it; else the case counts as skipped.
template <typename Body>
void where_it_fits(Body&& body) {
  CUCLIP_NEEDS_CUDA();
  TestContext ctx;
  try {
    body(static_cast<ExecContext>(ctx));
  } catch (const TooLarge& e) {
    note_skipped("there is no memory for a tensor of " + std::to_string(e.bytes) + " bytes");
  }
}

}  // namespace

TEST_CASE("pointwise operations and random numbers beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    const int64_t n = kBeyond + 1001;
    Rows x(n, {}, DType::f32), y(n, {}, DType::bf16);
    x.random();
    cast({.x = x.many(), .out = y.many()}, ctx);
    cast({.x = x.few(), .out = y.few()}, ctx);
    CHECK(y.same());
    fill_uniform({.out = x.many(), .seed = 5}, ctx);
    fill_uniform({.out = x.few(), .seed = 5, .offset = static_cast<uint64_t>(n - kFew)}, ctx);
    CHECK(x.same());
  });
}

TEST_CASE("layer norm beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    constexpr int64_t kWidth = 512;
    const int64_t rows = rows_of(kWidth);
    const Buffer weight = Buffer::normal({kWidth}, DType::f32), bias = Buffer::normal({kWidth}, DType::f32);
    Rows x(rows, {kWidth}, DType::bf16), y(rows, {kWidth}, DType::bf16), mean(rows, {}, DType::f32),
        rstd(rows, {}, DType::f32);
    x.random();
    const auto forward = [&](TensorView in, TensorView out, TensorView m, TensorView r) {
      layer_norm_forward(
          {.x = in, .weight = weight.view(), .bias = bias.view(), .y = out, .mean = m, .rstd = r}, ctx);
    };
    forward(x.many(), y.many(), mean.many(), rstd.many());
    forward(x.few(), y.few(), mean.few(), rstd.few());
    CHECK((y.same() && mean.same() && rstd.same()));
    const auto backward = [&](TensorView in, TensorView dx, TensorView m, TensorView r) {
      const Buffer dweight = Buffer::zeros({kWidth}, DType::f32), dbias = dweight;
      layer_norm_backward({.dy = in,
                           .x = in,
                           .weight = weight.view(),
                           .mean = m,
                           .rstd = r,
                           .dx = dx,
                           .dweight = dweight.view(),
                           .dbias = dbias.view()},
                          ctx);
    };
    backward(x.many(), y.many(), mean.many(), rstd.many());
    backward(x.few(), y.few(), mean.few(), rstd.few());
    CHECK(y.same());
  });
}

TEST_CASE("L2 normalisation beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    const int64_t rows = rows_of(512);
    Rows x(rows, {512}, DType::bf16), y(rows, {512}, DType::bf16), rnorm(rows, {}, DType::f32);
    x.random();
    l2_normalize_forward({.x = x.many(), .y = y.many(), .rnorm = rnorm.many()}, ctx);
    l2_normalize_forward({.x = x.few(), .y = y.few(), .rnorm = rnorm.few()}, ctx);
    CHECK((y.same() && rnorm.same()));
    l2_normalize_backward({.dy = x.many(), .y = y.many(), .rnorm = rnorm.many(), .dx = x.many()}, ctx);
    l2_normalize_backward({.dy = x.few(), .y = y.few(), .rnorm = rnorm.few(), .dx = x.few()}, ctx);
    CHECK(x.same());
  });
}

TEST_CASE("products beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    const DType dtype = GENERATE(DType::bf16, DType::f32);
    CAPTURE(name_of(dtype));
    const Buffer b = Buffer::normal({512, 16}, dtype);
    Rows a(rows_of(512), {512}, dtype), c(rows_of(512), {16}, dtype);
    a.random();
    gemm({.a = a.many(), .b = b.view(), .c = c.many()}, ctx);
    gemm({.a = a.few(), .b = b.view(), .c = c.few()}, ctx);
    CHECK(c.same());
  });
  where_it_fits([](const ExecContext& ctx) {  // as many in the result
    const int64_t columns = (int64_t{1} << 15) + 8;
    const Buffer x = Buffer::normal({16, columns}, DType::bf16);
    const Buffer b = Buffer::normal({columns, 16}, DType::bf16);
    Rows c(rows_of(columns), {columns}, DType::f32), a(rows_of(columns), {16}, DType::bf16);
    a.random();
    gemm({.a = a.many(), .b = b.view(), .c = c.many(), .transpose_b = true}, ctx);
    gemm({.a = a.few(), .b = b.view(), .c = c.few(), .transpose_b = true}, ctx);
    CHECK(c.same(8));  // what the last block computes, which the emulator executes
  });
}

TEST_CASE("weight gradients and similarities beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    const int64_t columns = (int64_t{1} << 15) + 8, rows = rows_of(columns);
    const Buffer x = Buffer::normal({16, columns}, DType::bf16), dy = Buffer::normal({16, rows}, DType::bf16);
    Rows dweight(rows, {columns}, DType::f32);
    dweight.zeros();
    gemm_weight_gradient({.dy = dy.view(), .x = x.view(), .dweight = dweight.many()}, ctx);
    std::vector<double> last;
    for (int64_t i = 0; i < 16; ++i) {
      for (int64_t j = rows - kFew; j < rows; ++j) last.push_back(dy.at(i * rows + j));
    }
    const Buffer dy_few = Buffer::from({16, kFew}, DType::bf16, last);
    gemm_weight_gradient({.dy = dy_few.view(), .x = x.view(), .dweight = dweight.few()}, ctx);
    CHECK(dweight.same(8));
  });
  where_it_fits([](const ExecContext& ctx) {
    const int64_t columns = 1 << 15, rows = rows_of(columns);
    const Buffer b = Buffer::normal({columns, 16}, DType::bf16);
    Rows a(rows, {16}, DType::bf16), out(rows, {columns}, DType::f32);
    a.random();
    cosine_similarity({.a = a.many(), .b = b.view(), .out = out.many()}, ctx);
    cosine_similarity({.a = a.few(), .b = b.view(), .out = out.few()}, ctx);
    CHECK(out.same(8));
  });
}

TEST_CASE("attention beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    const DType dtype = GENERATE(DType::bf16, DType::f32);
    CAPTURE(name_of(dtype));
    constexpr int64_t kWidth = 64;
    const int64_t length =
        dtype == DType::bf16 ? 50 : 16;  // such that a block has a head's rows, all of them
    const int64_t batch = rows_of(length * 3 * kWidth);
    Rows qkv(batch, {length, 3 * kWidth}, dtype), out(batch, {length, kWidth}, dtype),
        lse(batch, {1, length}, DType::f32);
    qkv.random();
    attention_forward({.qkv = qkv.many(), .out = out.many(), .lse = lse.many(), .heads = 1}, ctx);
    attention_forward({.qkv = qkv.few(), .out = out.few(), .lse = lse.few(), .heads = 1}, ctx);
    CHECK((out.same() && lse.same()));
    Rows dqkv(batch, {length, 3 * kWidth}, dtype), dout(batch, {length, kWidth}, dtype);
    dout.random();
    const auto backward = [&](TensorView q, TensorView o, TensorView l, TensorView d, TensorView dq) {
      attention_backward({.qkv = q, .out = o, .lse = l, .dout = d, .dqkv = dq, .heads = 1}, ctx);
    };
    backward(qkv.many(), out.many(), lse.many(), dout.many(), dqkv.many());
    backward(qkv.few(), out.few(), lse.few(), dout.few(), dqkv.few());
    CHECK(dqkv.same());
  });
}

TEST_CASE("patch embedding beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    const int64_t batch = rows_of(int64_t{224} * 224 * 3);
    const Buffer weight = Buffer::normal({16, 3, 32, 32}, DType::bf16),
                 token = Buffer::normal({16}, DType::f32), position = Buffer::normal({50, 16}, DType::f32);
    Rows image(batch, {224, 224, 3}, DType::u8), out(batch, {50, 16}, DType::bf16);
    image.random();
    const auto forward = [&](TensorView in, TensorView result) {
      patch_embed_forward({.image = in,
                           .weight = weight.view(),
                           .class_token = token.view(),
                           .position = position.view(),
                           .out = result},
                          ctx);
    };
    forward(image.many(), out.many());
    forward(image.few(), out.few());
    CHECK(out.same());
  });
}

TEST_CASE("token embedding and pooling beyond 2^31 elements") {
  where_it_fits([](const ExecContext& ctx) {
    const int64_t words = rows_of(512);
    const auto last = [](int64_t rows) {  // the last rows' numbers
      return Buffer::from({1, 2}, DType::i32, {static_cast<double>(rows - 1), static_cast<double>(rows - 3)});
    };
    const Buffer position = Buffer::normal({2, 512}, DType::f32);
    Buffer out = Buffer::poisoned({1, 2, 512}, DType::f32), expected = out;
    Rows table(words, {512}, DType::f32);
    table.random();
    const auto forward = [&](TensorView rows, const Buffer& to) {
      token_embed_forward(
          {.tokens = last(rows.size(0)).view(), .table = rows, .position = position.view(), .out = to.view()},
          ctx);
    };
    forward(table.many(), out);
    forward(table.few(), expected);
    CHECK(out.same_bits(expected));
    const auto backward = [&](TensorView rows) {
      const Buffer dposition = Buffer::zeros({2, 512}, DType::f32);
      token_embed_backward({.tokens = last(rows.size(0)).view(),
                            .dout = out.view(),
                            .dtable = rows,
                            .dposition = dposition.view()},
                           ctx);
    };
    backward(table.many());
    backward(table.few());
    CHECK(table.same());
  });
  where_it_fits([](const ExecContext& ctx) {
    const int64_t batch = rows_of(32 * 512);
    Rows x(batch, {32, 512}, DType::bf16), out(batch, {512}, DType::bf16);
    x.random();
    pool_forward({.x = x.many(), .out = out.many()}, ctx);
    pool_forward({.x = x.few(), .out = out.few()}, ctx);
    CHECK(out.same());
    pool_backward({.dout = out.many(), .dx = x.many()}, ctx);
    pool_backward({.dout = out.few(), .dx = x.few()}, ctx);
    CHECK(x.same());
  });
}

TEST_CASE("AdamW beyond 2^31 parameters") {
  where_it_fits([](const ExecContext& ctx) {
    const int64_t n = kBeyond + 1001;
    Rows w(n, {}, DType::f32), g(n, {}, DType::f32), m(n, {}, DType::f32), v(n, {}, DType::f32);
    w.random();
    g.random();
    m.zeros();
    v.zeros();
    const OnDevice<AdamWControl> control({{.steps = 1, .bias1 = 0.1, .lr = 1e-3}});
    const auto step = [&](int64_t size, TensorView weights, TensorView gradients, TensorView first,
                          TensorView second) {
      const OnDevice<AdamWSegment> segments({{0, size}});
      adamw_step({.weights = weights,
                  .gradients = gradients,
                  .exp_avg = first,
                  .exp_avg_sq = second,
                  .segments = segments.view(),
                  .control = control.view().data()},
                 ctx);
    };
    step(n, w.many(), g.many(), m.many(), v.many());
    step(kFew, w.few(), g.few(), m.few(), v.few());
    CHECK((w.same() && m.same() && v.same()));
  });
}

}  // namespace cuclip::test
