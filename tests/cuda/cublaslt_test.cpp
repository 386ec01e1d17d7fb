// cuBLASLt behind gemm's contract: what goes to it, captured work, what it refuses. That its results are
// right is seen in gemm_test.cpp.
#include "kernels/gemm/gemm_cublaslt.h"

#include <cuda_runtime_api.h>

#include <catch2/catch.hpp>

#include "kernels/common/stream.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr int64_t kM = 70, kN = 48, kK = 1040;

// cuBLASLt, and how many products were brought to it and how many it computed.
class Observed : public CublasLt {
 public:
  bool run(const Gemm& p, const ExecContext& ctx) override { return note(real_->run(p, ctx)); }
  bool run(const GemmWeightGradient& p, const ExecContext& ctx) override { return note(real_->run(p, ctx)); }
  int asked = 0, computed = 0;

 private:
  bool note(bool done) {
    ++asked;
    computed += done;
    return done;
  }
  std::shared_ptr<CublasLt> real_ = make_cublaslt();
};

// A context of its own stream, so that captures and their failures are its own business.
struct LtContext {
  DeviceStream stream{Device::cuda};
  Scratch scratch{Device::cuda};
  Observed cublaslt;
  ProductPolicy policy{.cublaslt = &cublaslt};
  ExecContext exec{.device = Device::cuda,
                   .scratch = &scratch,
                   .stream = stream.handle(),
                   .profiler = &operations_run(),
                   .products = &policy};
  // The same, with our own kernels.
  ExecContext own() const {
    ExecContext ctx = exec;
    ctx.products = nullptr;
    return ctx;
  }
  cudaStream_t handle() const { return static_cast<cudaStream_t>(stream.handle()); }
  void wait() const { device_synchronize(Device::cuda, stream.handle()); }
};

// Buffers are copied on the tests' stream.
void wait_for_copies() { device_synchronize(Device::cuda, test_stream()); }

struct Operands {
  Buffer a, b, bias = Buffer::normal({kN}, DType::f32), extra = Buffer::normal({kM, kN}, DType::f32);
  explicit Operands(DType dtype) : a(Buffer::normal({kM, kK}, dtype)), b(Buffer::normal({kN, kK}, dtype)) {}
  Gemm plain(const Buffer& c) const {
    return {.a = a.view(), .b = b.view(), .c = c.view(), .transpose_b = true};
  }
};

// A weight gradient of kK rows, with the tensors that it is added to.
struct Gradient {
  Buffer dy, x, dweight = Buffer::normal({kM, kN}, DType::f32), dbias = Buffer::normal({kM}, DType::f32);
  explicit Gradient(DType dtype) : dy(Buffer::normal({kK, kM}, dtype)), x(Buffer::normal({kK, kN}, dtype)) {}
  GemmWeightGradient params() const {
    return {.dy = dy.view(), .x = x.view(), .dweight = dweight.view(), .dbias = dbias.view()};
  }
};

}  // namespace

TEST_CASE("cuBLASLt is asked for products, bias in f32 and weight gradients, and our kernels for the rest") {
  LtContext lt;
  int products = 0;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Operands in(dtype);
    const Buffer f32 = Buffer::poisoned({kM, kN}, DType::f32), bf16 = Buffer::poisoned({kM, kN}, DType::bf16);
    const auto asked = [&](const Buffer& c, auto&& change) {
      Gemm p = in.plain(c);
      change(p);
      wait_for_copies();
      const int before = lt.cublaslt.asked;
      gemm(p, lt.exec);
      lt.wait();
      products += lt.cublaslt.asked - before;
      return lt.cublaslt.asked - before == 1;
    };
    CHECK(asked(f32, [](Gemm&) {}));
    CHECK(asked(f32, [&](Gemm& p) { p.bias = in.bias.view(); }));
    CHECK_FALSE(asked(f32, [](Gemm& p) { p.activation = Activation::gelu; }));
    CHECK_FALSE(asked(f32, [&](Gemm& p) {
      p.activation = Activation::gelu;
      p.gate = in.extra.view();
    }));
    if (dtype == DType::bf16) CHECK_FALSE(asked(bf16, [&](Gemm& p) { p.bias = in.bias.view(); }));

    const Gradient gradient(dtype);
    const GemmWeightGradient p = gradient.params();
    wait_for_copies();
    gemm_weight_gradient(p, lt.exec);
    lt.wait();
    CHECK(lt.cublaslt.asked == ++products);
  }
  // A GPU's cuBLASLt may refuse what it likes; the stand-in refuses none of these.
  if (emulated()) CHECK(lt.cublaslt.computed == products);
}

TEST_CASE("cuBLASLt takes memory of any alignment") {
  LtContext lt;
  const Operands in(DType::bf16);
  const Buffer expected = Buffer::poisoned({kM, kN}, DType::f32);
  Gemm p = in.plain(expected);
  p.bias = in.bias.view();
  wait_for_copies();
  gemm(p, lt.own());
  lt.wait();
  for (int odd = 0; odd < 4; ++odd) {
    const auto place = [&](const Buffer& buffer, int which) { return buffer.shifted(which == odd ? 1 : 0); };
    const Buffer a = place(in.a, 0), b = place(in.b, 1), bias = place(in.bias, 2);
    const Buffer c = place(Buffer::poisoned({kM, kN}, DType::f32), 3);
    const Gemm shifted{.a = a.view(), .b = b.view(), .c = c.view(), .transpose_b = true, .bias = bias.view()};
    wait_for_copies();
    gemm(shifted, lt.exec);
    lt.wait();
    // Sums of kK products of N(0, 1) are of order sqrt(kK).
    expect_close("c", c, expected.to_doubles(), {kK * 6 * roundoff(DType::f32), 1e-5});
  }
}

TEST_CASE("cuBLASLt's products are captured into a graph and replayed, with the same bits") {
  LtContext lt;
  const Gradient eager(DType::bf16), captured = eager;
  const GemmWeightGradient once = eager.params(), replayed = captured.params();
  wait_for_copies();
  for (int i = 0; i < 2; ++i) gemm_weight_gradient(once, lt.exec);
  REQUIRE(cudaStreamBeginCapture(lt.handle(), cudaStreamCaptureModeGlobal) == cudaSuccess);
  gemm_weight_gradient(replayed, lt.exec);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaStreamEndCapture(lt.handle(), &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  for (int i = 0; i < 2; ++i) REQUIRE(cudaGraphLaunch(executable, lt.handle()) == cudaSuccess);
  lt.wait();
  CHECK(captured.dweight.same_bits(eager.dweight));
  CHECK(captured.dbias.same_bits(eager.dbias));
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
}

TEST_CASE("what cuBLASLt refuses our kernels compute, then and later") {
  CUCLIP_NEEDS_EMULATOR();
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  // No algorithm, an algorithm that is not supported after all, and one whose last kernel cannot be launched
  // when the others have written already.
  const char* where = GENERATE("heuristic", "call", "launch");
  CAPTURE(name_of(dtype), where);
  LtContext lt;
  const Operands in(dtype);
  const Buffer c = Buffer::poisoned({kM, kN}, DType::f32), expected = c;
  const auto with_bias = [&](const Buffer& out) {
    Gemm p = in.plain(out);
    p.bias = in.bias.view();
    return p;
  };
  const Gemm product = with_bias(c), own_product = with_bias(expected);
  const Gradient gradient(dtype), own = gradient;
  const GemmWeightGradient params = gradient.params(), own_params = own.params();
  wait_for_copies();
  const auto compute = [&] {
    gemm(product, lt.exec);
    gemm_weight_gradient(params, lt.exec);
    gemm(own_product, lt.own());
    gemm_weight_gradient(own_params, lt.own());
    lt.wait();
  };
  {
    const Emulate refusing("EMULATE_CUBLASLT_REFUSE", where);
    compute();
  }
  compute();  // bits must not depend on how often a product was computed before
  CHECK((lt.cublaslt.asked == 4 && lt.cublaslt.computed == 0));
  CHECK(c.same_bits(expected));
  CHECK(gradient.dweight.same_bits(own.dweight));
  CHECK(gradient.dbias.same_bits(own.dbias));
}

// The failing launch is the last: others have added to dweight, which nobody kept.
TEST_CASE("a product that cuBLASLt has computed before is not computed a second time when it fails") {
  CUCLIP_NEEDS_EMULATOR();
  LtContext lt;
  const Operands in(DType::bf16);
  const Buffer c = Buffer::poisoned({kM, kN}, DType::f32);
  const Gemm product = in.plain(c);
  const Gradient gradient(DType::bf16);
  const GemmWeightGradient params = gradient.params();
  wait_for_copies();
  const auto compute = [&] {
    gemm(product, lt.exec);
    gemm_weight_gradient(params, lt.exec);
    lt.wait();
  };
  compute();
  {
    const Emulate failing("EMULATE_CUBLASLT_REFUSE", "launch");
    // A joint matcher would outlive those that it joins.
    const auto which = Catch::Contains("a product of ["),
               before = Catch::Contains("an identical product succeeded earlier"),
               why = Catch::Contains("cublasLtMatmul: CUBLAS_STATUS_EXECUTION_FAILED");
    CHECK_THROWS_WITH(gemm(product, lt.exec), which && before && why);
    CHECK_THROWS_WITH(gemm_weight_gradient(params, lt.exec), which && before && why);
    lt.wait();
  }
  compute();
  CHECK(lt.cublaslt.asked == 4);     // calls that throw are not counted
  CHECK(lt.cublaslt.computed == 4);  // and neither product is refused from then on
}

TEST_CASE("a product that cannot be put on its stream is an error, and not left behind") {
  LtContext lt;
  const Operands in(DType::bf16);
  const Buffer c = Buffer::poisoned({kM, kN}, DType::f32), expected = c;
  const Gemm p = in.plain(c), own_product = in.plain(expected);
  wait_for_copies();
  // Waiting is forbidden during a capture, and spoils it: nothing can be put on the stream any more.
  REQUIRE(cudaStreamBeginCapture(lt.handle(), cudaStreamCaptureModeGlobal) == cudaSuccess);
  CHECK(cudaStreamSynchronize(lt.handle()) != cudaSuccess);
  CHECK_THROWS_AS(gemm(p, lt.exec), Error);
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(lt.handle(), &graph) == cudaErrorStreamCaptureInvalidated);
  (void)cudaGetLastError();
  gemm(p, lt.exec);
  gemm(own_product, lt.own());
  lt.wait();
  expect_close("c", c, expected.to_doubles(), {kK * 6 * roundoff(DType::f32), 1e-5});
}
