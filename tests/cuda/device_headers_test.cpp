// The headers that kernels are built from (kernels/common/*.cuh), on CUDA only.
#include <atomic>
#include <barrier>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <thread>

#include "kernels/common/launch.cuh"
#include "kernels/common/stream.h"
#include "tests/cuda/device_headers.h"
#include "tests/support/kernel_test.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr double kF32 = 0x1p-24;

// c[i, j] = sum over k of a(i, k) b(k, j), for 16 x 8 results.
template <typename A, typename B>
std::vector<double> product(int k, A a, B b) {
  std::vector<double> c;
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      double sum = 0;
      for (int l = 0; l < k; ++l) sum += a(i, l) * b(l, j);
      c.push_back(sum);
    }
  }
  return c;
}

}  // namespace

// An operation for the test's buffers to notice: what is tested here has no entry of its own in the profile.
#define RUN(call)                                                             \
  do {                                                                        \
    const ProfileScope scope(static_cast<ExecContext>(ctx).profiler, "test"); \
    call;                                                                     \
  } while (false)

TEST_CASE("vectors of f32 and bf16 come back as they were, tails too") {
  TestContext ctx;
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t n : {1, 7, 8, 9, 300}) {
      const Buffer x = Buffer::normal({n}, dtype), out = Buffer::poisoned({n}, dtype);
      RUN(copy_vectors(x.view(), out.view(), ctx));
      REQUIRE(out.same_bits(x));
    }
  }
}

TEST_CASE("block and warp reductions match float64, and a maximum keeps NaN") {
  TestContext ctx;
  for (const int threads : {64, 256, 1024}) {
    Buffer x = Buffer::normal({threads}, DType::f32, 1.0, -5.0);
    const Buffer out = Buffer::poisoned({3}, DType::f32);
    double sum = 0, warp_sum = 0, warp_most = -1e30;
    for (int i = 0; i < threads; ++i) {
      sum += x.at(i);
      if (i / 32 == 1) {
        warp_sum += x.at(i);
        warp_most = std::max(warp_most, x.at(i));
      }
    }
    RUN(reduce_block(x.view(), out.view(), threads, ctx));
    // At most 5 additions in a warp and 32 over warps, each rounding a sum of at most |sum|.
    expect_close("reduced", out, {sum, warp_sum, warp_most}, {0, 37 * kF32});
    x.set(63, NAN);  // in the second warp
    RUN(reduce_block(x.view(), out.view(), threads, ctx));
    REQUIRE(std::isnan(out.at(0)));
    REQUIRE(std::isnan(out.at(2)));
  }
}

TEST_CASE("tensor core products and ldmatrix follow the layouts of mma.cuh") {
  TestContext ctx;
  const Buffer a = Buffer::normal({16, 16}, DType::bf16), b = Buffer::normal({8, 16}, DType::bf16);
  const Buffer c = Buffer::poisoned({16, 8}, DType::f32);
  RUN(multiply_fragments(a.view(), b.view(), c.view(), ctx));
  // 16 terms of size up to 16; tensor cores truncate where f32 rounds.
  const Tolerance close{16 * 16 * 2 * kF32, 0};
  expect_close(
      "bf16", c,
      product(
          16, [&](int i, int k) { return a.at(i * 16 + k); }, [&](int k, int j) { return b.at(j * 16 + k); }),
      close);
  RUN(multiply_transposed(a.view(), b.view_as({16, 8}), c.view(), ctx));
  expect_close(
      "transposed", c,
      product(
          16, [&](int i, int k) { return a.at(k * 16 + i); }, [&](int k, int j) { return b.at(k * 8 + j); }),
      close);
  const Buffer f = Buffer::normal({16, 8}, DType::f32), g = Buffer::normal({8, 8}, DType::f32);
  RUN(multiply_fragments(f.view(), g.view(), c.view(), ctx));
  // Operands are rounded to 11 bits: 2^-11 of each of 8 products of size up to 16.
  expect_close(
      "tf32", c,
      product(
          8, [&](int i, int k) { return f.at(i * 8 + k); }, [&](int k, int j) { return g.at(j * 8 + k); }),
      {8 * 16 * 0x1p-10, 0});
  // Exact where the operands are: a wrong element would show.
  Buffer small = Buffer::indices({16, 8}, 100), exact = Buffer::zeros({16, 8}, DType::f32);
  for (int64_t i = 0; i < 128; ++i) exact.set(i, small.at(i));
  RUN(multiply_fragments(exact.view(), exact.view_as({8, 8}), c.view(), ctx));
  expect_close("tf32", c,
               product(
                   8, [&](int i, int k) { return exact.at(i * 8 + k); },
                   [&](int k, int j) { return exact.at(j * 8 + k); }),
               {0, 0});
}

TEST_CASE("asynchronous copies fill a swizzled tile, with zeros beyond the tensor") {
  TestContext ctx;
  for (const int chunks : {2, 4, 8, 16}) {
    for (const int64_t rows : {13, 16}) {
      const Buffer x = Buffer::normal({rows, chunks * 4}, DType::f32);
      const Buffer out = Buffer::poisoned({16, chunks * 4}, DType::f32);
      RUN(copy_tile(x.view(), out.view(), chunks, ctx));
      std::vector<double> expected = x.to_doubles();
      expected.resize(static_cast<size_t>(out.elements()), 0.0);
      expect_close("tile", out, expected, {0, 0});
    }
  }
}

TEST_CASE("a launch takes shared memory beyond 48 KB, and says what it cannot launch") {
  TestContext ctx;
  const Buffer out = Buffer::zeros({1}, DType::f32);
  RUN(launch_with(out.view(), 0, 32, 16, ctx));
  REQUIRE(out.at(0) == 0);
  RUN(launch_with(out.view(), 1, 32, 99 * 1024, ctx));
  REQUIRE(out.at(0) == 1);
  using Catch::Matchers::Contains;
  REQUIRE_THROWS_WITH(
      launch_with(out.view(), 1, 32, size_t{1} << 20, ctx),
      Contains("cannot launch launch_with_kernel with a grid of [1, 1, 1], 32 threads and 1048576 "
               "bytes of shared memory: this device has"));
  REQUIRE_THROWS_WITH(launch_with(out.view(), 1, 2048, 16, ctx),
                      Contains("2048 threads") && Contains("cudaErrorInvalidConfiguration"));
  REQUIRE_THROWS_WITH(launch_with(out.view(), int64_t{1} << 32, 32, 16, ctx), Contains("cannot launch"));
  REQUIRE_NOTHROW(launch_with(out.view(), 1, 32, 16, ctx));  // the errors are not left behind
}

// The limit is the function's: lowering it for one launch would take it away from another thread's.
TEST_CASE("the shared memory that a kernel may have only grows") {
  TestContext ctx;
  const Buffer out = Buffer::zeros({1}, DType::f32);
  RUN(launch_with(out.view(), 1, 32, 90 * 1024, ctx));
  CHECK(allowed_shared_bytes() >= 90 * 1024);
  RUN(launch_with(out.view(), 1, 32, 60 * 1024, ctx));
  CHECK(allowed_shared_bytes() >= 90 * 1024);
}

TEST_CASE("host threads launch one kernel with different shared memory at the same time") {
  constexpr size_t kSizes[] = {50 * 1024, 60 * 1024, 90 * 1024};
  std::atomic<int> refused = 0;
  std::barrier start(std::ssize(kSizes));
  std::vector<std::thread> threads;
  for (const size_t size : kSizes) {
    threads.emplace_back([&, size] {
      const DeviceStream stream(Device::cuda);
      const ExecContext ctx{.device = Device::cuda, .stream = stream.handle()};
      void* memory = device_allocate(Device::cuda, sizeof(float));
      start.arrive_and_wait();
      for (int i = 0; i < 20000; ++i) {
        try {
          launch_with(TensorView(memory, DType::f32, {1}), 1, 32, size, ctx);
        } catch (const Error&) {
          ++refused;
        }
      }
      device_synchronize(Device::cuda, stream.handle());
      device_free(Device::cuda, memory);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(refused == 0);
}

TEST_CASE("a device that a kernel was not compiled for is named, and what to build for it") {
  CHECK(image_problem() == "");
  const std::string problem = image_problem(newer_than_sm_80());
  int major = 0;
  REQUIRE(cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, 0) == cudaSuccess);
  if (major >= 9) {
    CHECK(problem == "");
  } else {
    CHECK_THAT(problem, Catch::Matches(".+ is sm_8\\d, but this program has no kernels for it; build it with "
                                       "-DCMAKE_CUDA_ARCHITECTURES=8\\d"));
    CHECK(cudaGetLastError() == cudaSuccess);
  }
}

TEST_CASE("device memory is copied both ways on a stream, and a full device is an error") {
  const DeviceStream stream(Device::cuda);
  const std::vector<float> values = {1, 2, 3};
  std::vector<float> back(3);
  void* memory = device_allocate(Device::cuda, 12);
  device_copy(Device::cuda, memory, values.data(), 12, stream.handle());
  device_copy(Device::cuda, back.data(), memory, 12, stream.handle());
  device_synchronize(Device::cuda, stream.handle());
  device_free(Device::cuda, memory);
  REQUIRE(back == values);
  REQUIRE_THROWS_WITH(device_allocate(Device::cuda, size_t{1} << 50),
                      Catch::Contains("out of memory on device cuda: 1125899906842624 bytes"));
}
