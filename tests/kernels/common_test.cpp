// labels: threads
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <stdexcept>
#include <thread>

#include "kernels/common/exec_context.h"
#include "kernels/common/parallel.h"
#include "kernels/pointwise/pointwise.h"
#include "tests/support/buffer.h"

using namespace cuclip;

TEST_CASE("thread pool runs every task exactly once, with exclusive worker indices") {
  for (int threads : {1, 2, 5}) {
    ThreadPool pool(threads);
    REQUIRE(pool.size() == threads);
    for (int64_t tasks : {0, 1, 2, 7, 1000}) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(tasks));
      std::vector<std::atomic<int>> busy(static_cast<size_t>(threads));
      std::atomic<bool> shared{false};
      pool.run(tasks, [&](int64_t task, int worker) {
        if (busy[static_cast<size_t>(worker)].fetch_add(1) != 0) shared = true;
        runs[static_cast<size_t>(task)]++;
        busy[static_cast<size_t>(worker)]--;
      });
      for (auto& r : runs) REQUIRE(r == 1);
      REQUIRE_FALSE(shared);
    }
  }
}

TEST_CASE("thread pool serves several calling threads at once") {
  ThreadPool pool(3);
  std::vector<std::thread> callers;
  std::atomic<int64_t> total{0};
  for (int c = 0; c < 4; ++c) {
    callers.emplace_back([&] {
      for (int repeat = 0; repeat < 200; ++repeat) pool.run(9, [&](int64_t task, int) { total += task; });
    });
  }
  for (auto& t : callers) t.join();
  REQUIRE(total == 4 * 200 * 36);
}

TEST_CASE("thread pool rethrows the first exception and stays usable") {
  ThreadPool pool(2);
  REQUIRE_THROWS_WITH(pool.run(10,
                               [](int64_t task, int) {
                                 if (task == 3) throw std::runtime_error("task 3");
                               }),
                      "task 3");
  std::atomic<int> count{0};
  pool.run(5, [&](int64_t, int) { count++; });
  REQUIRE(count == 5);
}

TEST_CASE("kernels on the CPU refuse a context without a thread pool") {
  Scratch scratch;
  const test::Buffer one = test::Buffer::zeros({1}, DType::f32);
  REQUIRE_THROWS_WITH(add({.a = one.view(), .b = one.view(), .out = one.view()}, {.scratch = &scratch}),
                      "add: the context has no thread pool, which the CPU's kernels share their work on: set "
                      "ExecContext::pool");
}

TEST_CASE("bfloat16 rounds to nearest even and keeps NaN and infinities") {
  REQUIRE(static_cast<float>(bfloat16(1.0f)) == 1.0f);
  REQUIRE(bfloat16(1.0f + 1.0f / 256).bits == 0x3f80);  // tie, even below
  REQUIRE(bfloat16(1.0f + 3.0f / 256).bits == 0x3f82);  // tie, even above
  REQUIRE(bfloat16(1.0f + 1.01f / 256).bits == 0x3f81);
  REQUIRE(std::isnan(static_cast<float>(bfloat16(std::nanf("")))));
  REQUIRE(std::isinf(static_cast<float>(bfloat16(INFINITY))));
  REQUIRE(std::isinf(static_cast<float>(bfloat16(3.4e38f))));  // rounds up past the largest finite value
}

TEST_CASE("a tensor check names the tensor, the expected and the found shape") {
  auto b = test::Buffer::zeros({512}, DType::f32);
  REQUIRE_THROWS_WITH(check_tensor("layer_norm: weight", b.view(), DType::f32, {768}),
                      "layer_norm: weight must be [768], got [512]");
  REQUIRE_THROWS_WITH(check_tensor("layer_norm: weight", b.view(), DType::bf16, {512}),
                      "layer_norm: weight must be bf16, got f32");
  REQUIRE_THROWS_WITH(check_tensor("layer_norm: weight", TensorView(), DType::f32, {512}),
                      "layer_norm: weight is missing, expected f32 [512]");
}

TEST_CASE("the test harness sees a write outside a tensor and a poisoned element") {
  auto b = test::Buffer::zeros({3}, DType::f32);
  b.edit<float>()[3] = 1;
  REQUIRE_THROWS(b.check_guards());
  auto p = test::Buffer::poisoned({2}, DType::bf16);
  REQUIRE_THROWS(test::expect_close("p", p, {0, 0}, {1e30, 0}));
}
