// That what cuda_bench says of its contestants is so: the right are measured, the wrong found.
#include "bench/cuda/measure.h"

#include <catch2/catch.hpp>
#include <cmath>

#include "bench/cuda/operations.h"
#include "bench/cuda/sample.h"

namespace cuclip::bench {
namespace {

const Tower kTower{2, 5, 32, 16};
const Effort kOnce{.samples = 1, .sample_seconds = 0, .warm_up_seconds = 0};

Contestant who(const std::function<Launch(Lab&, const Tensors&)>& prepare) {
  return {.name = "test", .prepare = prepare};
}

Measurement measured(const Operation& op, const Contestant& contestant, const Effort& effort = kOnce) {
  return measure(std::make_shared<ThreadPool>(1), op, contestant, effort);
}

TEST_CASE("a contestant that is right is measured, over several copies of the tensors") {
  const Operation op = layer_norm_forward(kTower, Precision::bf16);
  const Measurement m =
      measured(op, op.contestants[0], {.samples = 3, .sample_seconds = 1e-9, .warm_up_seconds = 0});
  CHECK(m.launches == 64);  // these tensors do not outgrow the cache
  CHECK(m.low > 0);
  CHECK(m.low <= m.median);
  CHECK(m.median <= m.high);
  CHECK(m.worst.value < m.limit);
}

TEST_CASE("a contestant that computes nothing, or not everything, has failed") {
  const Operation op = layer_norm_forward(kTower, Precision::fp32);
  CHECK_THROWS_AS(measured(op, who([](Lab&, const Tensors&) { return [](const Tensors&) {}; })), Failure);
  const Contestant incomplete = who([&](Lab& lab, const Tensors& first) -> Launch {
    const Launch right = op.contestants[0].prepare(lab, first);
    return [=](const Tensors& t) {
      right(t);
      t.at("rstd").set_zero();
    };
  });
  CHECK_THROWS_AS(measured(op, incomplete), Failure);
}

TEST_CASE("a contestant that refuses, or lacks memory, says so") {
  const Operation op = layer_norm_forward(kTower, Precision::fp32);
  CHECK_THROWS_AS(measured(op, who([](Lab&, const Tensors&) -> Launch { throw Refusal("no"); })), Refusal);
  CHECK_THROWS_AS(measured(op, who([](Lab& lab, const Tensors&) -> Launch {
                             const Tensor large = Tensor::empty(*lab.context, {int64_t{1} << 50}, DType::u8);
                             return [large](const Tensors&) {};
                           })),
                  Refusal);
}

TEST_CASE("deviations are relative, and NaN is the worst") {
  Comparison comparison;
  comparison.add("right", 2, 2);
  comparison.add("near", 3.3, 3);
  comparison.add("nan", std::nan(""), 1);
  const std::vector<Deviation> all = comparison.deviations();
  REQUIRE(all.size() == 3);
  CHECK(std::isinf(all[0].value));                       // nan
  CHECK(std::abs(all[1].value - 0.3 / (3 + 3)) < 1e-9);  // near
  CHECK(all[2].value == 0);                              // right
}

TEST_CASE("samples have the first and the last") {
  CHECK(spread(1, 4) == std::vector<int64_t>{0});
  CHECK(spread(3, 4) == std::vector<int64_t>{0, 1, 2});
  CHECK(spread(100, 3) == std::vector<int64_t>{0, 49, 99});
}

}  // namespace
}  // namespace cuclip::bench
