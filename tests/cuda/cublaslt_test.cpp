// cuBLASLt behind gemm's contract: what goes to it, captured work, failures. That its results are right is
// seen in gemm_test.cpp.
#include "kernels/gemm/gemm_cublaslt.h"

#include <cuda_runtime_api.h>

#include <catch2/catch.hpp>

#include "kernels/common/stream.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr int64_t kM = 70, kN = 48, kK = 1040;

// A context of its own stream, so that captures and their failures are its own business.
struct LtContext {
  DeviceStream stream{Device::cuda};
  Scratch scratch{Device::cuda};
  std::shared_ptr<CublasLt> cublaslt = make_cublaslt();
  ExecContext exec{.device = Device::cuda,
                   .scratch = &scratch,
                   .stream = stream.handle(),
                   .profiler = &operations_run(),
                   .cublaslt = cublaslt.get()};
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

}  // namespace

// Sums of 1,040 terms in another order have other bits: they tell who computed.
TEST_CASE("cuBLASLt computes products, bias in f32 and weight gradients, and our kernels the rest") {
  LtContext lt;
  ExecContext own = lt.exec;
  own.cublaslt = nullptr;
  const auto same_bits = [&](const Buffer& blank, auto&& run) {
    const Buffer c = blank, c_own = blank;
    c.view(), c_own.view();
    wait_for_copies();
    run(c, lt.exec);
    run(c_own, own);
    lt.wait();
    return c.same_bits(c_own);
  };
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const Operands in(dtype);
    const Buffer f32 = Buffer::poisoned({kM, kN}, DType::f32), bf16 = Buffer::poisoned({kM, kN}, DType::bf16);
    const auto same = [&](const Buffer& blank, auto&& change) {
      return same_bits(blank, [&](const Buffer& c, const ExecContext& ctx) {
        Gemm p = in.plain(c);
        change(p);
        gemm(p, ctx);
      });
    };
    CHECK_FALSE(same(f32, [](Gemm&) {}));
    CHECK_FALSE(same(f32, [&](Gemm& p) { p.bias = in.bias.view(); }));
    CHECK(same(f32, [&](Gemm& p) { p.residual = in.extra.view(); }));
    CHECK(same(f32, [](Gemm& p) { p.activation = Activation::gelu; }));
    CHECK(same(f32, [&](Gemm& p) {
      p.activation = Activation::gelu;
      p.gate = in.extra.view();
    }));
    if (dtype == DType::bf16) CHECK(same(bf16, [&](Gemm& p) { p.bias = in.bias.view(); }));

    const Buffer dy = Buffer::normal({kK, kM}, dtype), x = Buffer::normal({kK, kN}, dtype);
    CHECK_FALSE(same_bits(Buffer::zeros({kM, kN}, DType::f32), [&](const Buffer& c, const ExecContext& ctx) {
      gemm_weight_gradient({.dy = dy.view(), .x = x.view(), .dweight = c.view()}, ctx);
    }));
  }
}

TEST_CASE("cuBLASLt takes memory of any alignment") {
  LtContext lt;
  const Operands in(DType::bf16);
  const Buffer expected = Buffer::poisoned({kM, kN}, DType::f32);
  ExecContext own = lt.exec;
  own.cublaslt = nullptr;
  Gemm p = in.plain(expected);
  p.bias = in.bias.view();
  wait_for_copies();
  gemm(p, own);
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
  const Buffer dy = Buffer::normal({kK, kM}, DType::bf16), x = Buffer::normal({kK, kN}, DType::bf16);
  const auto zeros = [] { return Buffer::zeros({kM, kN}, DType::f32); };
  const Buffer once = zeros(), twice = zeros(), bias = Buffer::zeros({kM}, DType::f32), bias_twice = bias;
  const auto gradient = [&](const Buffer& dweight, const Buffer& dbias) {
    return GemmWeightGradient{
        .dy = dy.view(), .x = x.view(), .dweight = dweight.view(), .dbias = dbias.view()};
  };
  const GemmWeightGradient eager = gradient(once, bias), captured = gradient(twice, bias_twice);
  wait_for_copies();
  for (int i = 0; i < 2; ++i) gemm_weight_gradient(eager, lt.exec);
  REQUIRE(cudaStreamBeginCapture(lt.handle(), cudaStreamCaptureModeGlobal) == cudaSuccess);
  gemm_weight_gradient(captured, lt.exec);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  REQUIRE(cudaStreamEndCapture(lt.handle(), &graph) == cudaSuccess);
  REQUIRE(cudaGraphInstantiate(&executable, graph, 0) == cudaSuccess);
  for (int i = 0; i < 2; ++i) REQUIRE(cudaGraphLaunch(executable, lt.handle()) == cudaSuccess);
  lt.wait();
  CHECK(twice.same_bits(once));
  CHECK(bias_twice.same_bits(bias));
  CHECK(cudaGraphExecDestroy(executable) == cudaSuccess);
  CHECK(cudaGraphDestroy(graph) == cudaSuccess);
}

TEST_CASE("a product that cuBLASLt cannot run is an error with its call, shapes and status") {
  LtContext lt;
  const Operands in(DType::bf16);
  const Buffer c = Buffer::poisoned({kM, kN}, DType::f32);
  const Gemm p = in.plain(c);
  wait_for_copies();
  // Waiting is forbidden during a capture, and spoils it: nothing can be put on the stream any more.
  REQUIRE(cudaStreamBeginCapture(lt.handle(), cudaStreamCaptureModeGlobal) == cudaSuccess);
  CHECK(cudaStreamSynchronize(lt.handle()) != cudaSuccess);
  CHECK_THROWS_WITH(gemm(p, lt.exec),
                    Catch::Contains("cublasLtMatmul failed for a product of [70, 1040] and [1040, 48] "
                                    "(bf16 to f32): CUBLAS_STATUS_EXECUTION_FAILED"));
  cudaGraph_t graph = nullptr;
  CHECK(cudaStreamEndCapture(lt.handle(), &graph) == cudaErrorStreamCaptureInvalidated);
  (void)cudaGetLastError();
  gemm(p, lt.exec);  // the failure is not left behind
  lt.wait();
  ExecContext own = lt.exec;
  own.cublaslt = nullptr;
  const Buffer expected = Buffer::poisoned({kM, kN}, DType::f32);
  const Gemm own_product = in.plain(expected);
  wait_for_copies();
  gemm(own_product, own);
  lt.wait();
  expect_close("c", c, expected.to_doubles(), {kK * 6 * roundoff(DType::f32), 1e-5});
}
