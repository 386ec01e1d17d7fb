#include "core/parameter.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <ctime>

#include "kernels/random/random.h"
#include "tests/support/buffer.h"

using namespace cuclip;

namespace {

using Role = ParameterRole;

constexpr uint64_t kSeed = 11;

std::vector<float> normals(Context& context, int64_t count, float stddev, uint64_t stream) {
  const Tensor out = Tensor::empty(context, {count}, DType::f32);
  fill_normal({.out = out, .stddev = stddev, .seed = kSeed, .stream = stream}, context.exec());
  return out.to_floats();
}

std::vector<float> uniforms(Context& context, int64_t count, float bound, uint64_t stream) {
  const Tensor out = Tensor::empty(context, {count}, DType::f32);
  fill_uniform({.out = out, .low = -bound, .high = bound, .seed = kSeed, .stream = stream}, context.exec());
  return out.to_floats();
}

}  // namespace

TEST_CASE("parameters start as their initialisers say, each from the stream of its index") {
  Context context(2);
  ParameterStore store;
  // Names that say something else: they decide nothing.
  store.add("ln.bias", {3, 5}, Role::weight, Initialiser::normal(0.5f));
  store.add("weight", {}, Role::scale, Initialiser::constant(2.5f));
  store.add("visual.proj", {7}, Role::bias, Initialiser::fan_in(16));
  store.add("logit_scale", {2, 2}, Role::weight, Initialiser::xavier(2, 4));
  store.add("b", {3}, Role::norm, Initialiser::ones());
  store.allocate(context, {.bf16_copies = true});
  store.initialise(context, kSeed);
  CHECK(store.get("ln.bias").value.to_floats() == normals(context, 15, 0.5f, 0));
  CHECK(store.get("weight").value.item() == 2.5f);
  CHECK(store.get("visual.proj").value.to_floats() == uniforms(context, 7, 0.25f, 2));
  CHECK(store.get("logit_scale").value.to_floats() ==
        uniforms(context, 4, std::sqrt(6.0f) * (1.0f / std::sqrt(6.0f)), 3));
  CHECK(store.get("b").value.to_floats() == std::vector<float>(3, 1.0f));
  for (const Parameter& p : store.parameters()) {
    const std::vector<float> values = p.value.to_floats(), copies = p.bf16.to_floats();
    for (size_t i = 0; i < values.size(); ++i) CHECK(copies[i] == static_cast<float>(bfloat16(values[i])));
  }
}

TEST_CASE("parameters that are left unset have zeros between them all the same, and none elsewhere") {
  Context context(1);
  for (const bool unset : {false, true}) {
    // Memory that is handed out again.
    Tensor::full(context, {2 << 20}, NAN);
    ParameterStore store;
    for (const int64_t size : {3, 32, 1, 65}) {
      store.add(std::to_string(size), {size}, Role::weight, Initialiser::zeros());
    }
    store.add("large", {(1 << 20) + 1}, Role::weight, Initialiser::zeros());
    store.allocate(context, {.unset = unset});
    std::vector<float> values = store.values().to_floats();
    for (const Parameter& p : store.parameters()) {
      for (int64_t i = 0; i < p.shape.elements(); ++i) {
        float& value = values[static_cast<size_t>(p.offset + i)];
        if (std::isnan(value) != unset) FAIL("value " << i << " of " << p.name << " is " << value);
        value = 0.0f;
      }
    }
    CHECK(values == std::vector<float>(values.size(), 0.0f));
  }
}

TEST_CASE("a scope's parameters have its prefix and are frozen with it") {
  ParameterStore store;
  const ParameterScope outer(store, "a."), frozen(store, "b.", /*frozen=*/true);
  outer.inner("x.").add("w", {2, 3}, Role::embedding, Initialiser::zeros());
  frozen.inner("x.").inner("y.").add("w", {4}, Role::token, Initialiser::zeros());
  REQUIRE(store.parameters().size() == 2);
  const Parameter& first = store.get("a.x.w");
  CHECK((first.role == Role::embedding && !first.frozen && first.shape == Shape{2, 3}));
  const Parameter& second = store.get("b.x.y.w");
  CHECK((second.role == Role::token && second.frozen));
  CHECK_THROWS_WITH(outer.inner("x.").add("w", {1}, Role::weight, Initialiser::zeros()),
                    "two parameters are called a.x.w");
}

TEST_CASE("statistics are kept with the parameters, but neither learned nor counted") {
  ParameterStore store;
  const ParameterScope scope(store);
  const Parameter& variance = scope.add("bn.running_var", {5}, Role::statistic, Initialiser::ones());
  scope.add("bn.weight", {5}, Role::norm, Initialiser::ones());
  CHECK(variance.frozen);
  CHECK_FALSE(store.get("bn.weight").frozen);
  CHECK(store.count() == 5);
}

TEST_CASE("names are found among many in a moment, and none is there twice") {
  ParameterStore store;
  constexpr int kCount = 100'000;
  const std::clock_t start = std::clock();
  const auto name = [](int i) { return fmt::format("visual.layer4.{:06}.conv1.weight", i); };
  for (int i = 0; i < kCount; ++i) store.add(name(i), {1}, Role::weight, Initialiser::zeros());
  for (int i = 0; i < kCount; i += 997) CHECK(store.get(name(i)).offset == 32 * i);
  // Compared with each before it, every name would take a hundred times as long.
  CHECK(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC < 4);
  CHECK_FALSE(store.find(name(kCount)));
  CHECK_THROWS_WITH(store.add(name(7), {1}, Role::weight, Initialiser::zeros()),
                    "two parameters are called " + name(7));
}
