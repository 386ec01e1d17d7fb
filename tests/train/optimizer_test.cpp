// AdamW, clipping, the learning rate and the choice of decayed weights against PyTorch and open_clip
// (tests/tools/record_optimizer.py).
#include "train/loop/optimizer.h"
#include "tests/support/paths.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "models/clip/clip.h"
#include "train/loop/lr_schedule.h"

using namespace cuclip;
using nlohmann::json;

namespace {

const json& recording() {
  static const json recorded = [] {
    std::ifstream in(test::test_data() + "/optimizer.json");
    return json::parse(in);
  }();
  return recorded;
}

// A store with the recording's tensors and start values, and the optimiser that it was made with.
struct Recorded {
  const json& adamw = recording().at("adamw");
  Context context{2};
  ParameterStore store;
  OptimizerOptions options;
  const std::map<std::string, ParameterRole> role_of = {{"conv1.weight", ParameterRole::weight},
                                                        {"ln_1.weight", ParameterRole::norm},
                                                        {"logit_scale", ParameterRole::scale}};

  explicit Recorded(bool bf16_copies = false) {
    for (const auto& [name, shape] : adamw.at("shapes").items()) {
      const auto extents = shape.get<std::vector<int64_t>>();
      store.add(name, Shape(std::span<const int64_t>(extents)), role_of.at(name), Initialiser::zeros());
    }
    store.allocate(context, {.gradients = true, .bf16_copies = bf16_copies});
    for (Parameter& p : store.parameters()) set(p.value, adamw.at("start").at(p.name));
    const json& o = adamw.at("options");
    options = {.beta1 = o.at("beta1"),
               .beta2 = o.at("beta2"),
               .eps = o.at("eps"),
               .weight_decay = o.at("weight_decay"),
               .clip_norm = o.at("clip_norm")};
  }
  void step(Optimizer& optimizer) {
    const Tensor loss = Tensor::full(context, {1}, 1.0f);
    optimizer.step(loss, Tensor::full(context, {1}, adamw.at("options").at("lr")));
  }

  static void set(const Tensor& tensor, const json& values) {
    const auto v = values.get<std::vector<float>>();
    REQUIRE(static_cast<int64_t>(v.size()) == tensor.elements());
    std::copy(v.begin(), v.end(), tensor.data<float>());
  }
  void set_gradients(const json& step) {
    for (Parameter& p : store.parameters()) set(p.gradient, step.at("gradients").at(p.name));
  }
  // The part of an arena that belongs to a parameter.
  static const float* part(const Tensor& arena, const Parameter& p) { return arena.data<float>() + p.offset; }
};

}  // namespace

// Both compute in f32 with a few roundings a step (PyTorch in another order): 1e-6 of the value after six
// steps. First moments and weights are sums with cancellation, which the absolute part is for.
TEST_CASE("AdamW with clipping follows torch.optim.AdamW") {
  Recorded recorded;
  Optimizer optimizer(recorded.context, recorded.store, recorded.options);
  int step = 0;
  for (const json& expected : recorded.adamw.at("steps")) {
    recorded.set_gradients(expected);
    recorded.step(optimizer);
    CHECK(optimizer.control().gradient_norm == Approx(expected.at("norm").get<float>()).epsilon(1e-6));
    CHECK(optimizer.steps() == ++step);
    for (const Parameter& p : recorded.store.parameters()) {
      INFO("step " << step << ", " << p.name);
      const auto weights = expected.at("weights").at(p.name).get<std::vector<float>>();
      const auto first = expected.at("exp_avg").at(p.name).get<std::vector<float>>();
      const auto second = expected.at("exp_avg_sq").at(p.name).get<std::vector<float>>();
      for (size_t i = 0; i < weights.size(); ++i) {
        CHECK(p.value.data<float>()[i] == Approx(weights[i]).epsilon(1e-6).margin(1e-7));
        CHECK(recorded.part(optimizer.exp_avg(), p)[i] == Approx(first[i]).epsilon(1e-6).margin(1e-7));
        CHECK(recorded.part(optimizer.exp_avg_sq(), p)[i] == Approx(second[i]).epsilon(1e-6));
        CHECK(p.gradient.data<float>()[i] == 0.0f);
      }
    }
  }
}

TEST_CASE("the bf16 copies are the new weights, rounded") {
  Recorded recorded(true);
  Optimizer optimizer(recorded.context, recorded.store, recorded.options);
  recorded.set_gradients(recorded.adamw.at("steps").at(0));
  recorded.step(optimizer);
  for (const Parameter& p : recorded.store.parameters()) {
    for (int64_t i = 0; i < p.shape.elements(); ++i) {
      CHECK(p.bf16.data<bfloat16>()[i].bits == bfloat16(p.value.data<float>()[i]).bits);
    }
  }
}

TEST_CASE("frozen parameters keep their values and do not count in the gradient norm") {
  Recorded recorded;
  recorded.store.get("conv1.weight").frozen = true;
  Optimizer optimizer(recorded.context, recorded.store, recorded.options);
  recorded.set_gradients(recorded.adamw.at("steps").at(0));
  double square = 0;
  for (const Parameter& p : recorded.store.parameters()) {
    if (p.name.starts_with("conv1.")) continue;
    for (const float g : p.gradient.to_floats()) square += static_cast<double>(g) * static_cast<double>(g);
  }
  recorded.step(optimizer);
  CHECK(optimizer.control().gradient_norm == Approx(std::sqrt(square)).epsilon(1e-6));
  for (const Parameter& p : recorded.store.parameters()) {
    const auto start = recorded.adamw.at("start").at(p.name).get<std::vector<float>>();
    CHECK((p.value.to_floats() == start) == p.name.starts_with("conv1."));
  }
}

TEST_CASE("the learning rate is open_clip's cosine_lr") {
  for (const json& expected : recording().at("schedule")) {
    const LrSchedule schedule{.peak = expected.at("peak"),
                              .warmup_steps = expected.at("warmup"),
                              .total_steps = expected.at("total")};
    int64_t step = 0;
    for (const double lr : expected.at("lr")) CHECK(schedule.at(step++) == Approx(lr).epsilon(1e-12));
    CHECK(schedule.at(step) == Approx(0.0).margin(1e-12));
    CHECK(schedule.at(step + 1000) == Approx(0.0).margin(1e-12));
  }
}

TEST_CASE("weights decay where open_clip lets them") {
  Context context(1);
  const ClipModel model(context, load_clip_config(test::test_data() + "/open_clip/gelu.json"));
  const auto decayed = recording().at("decayed").get<std::vector<std::string>>();
  size_t found = 0;
  for (const Parameter& p : model.parameters().parameters()) {
    INFO(p.name);
    const bool expected = std::find(decayed.begin(), decayed.end(), p.name) != decayed.end();
    CHECK(has_weight_decay(p) == expected);
    found += expected;
  }
  CHECK(found == decayed.size());
}

TEST_CASE(
    "weights decay by what they are for, whatever they are called and however many dimensions they have") {
  ParameterStore store;
  const auto decays = [&](const std::string& name, const Shape& shape, ParameterRole role) {
    return has_weight_decay(store.add(name, shape, role, Initialiser::zeros()));
  };
  CHECK(decays("subnet.weight", {2, 3}, ParameterRole::weight));  // "bn" within it
  CHECK(decays("vulnerable", {5}, ParameterRole::weight));
  CHECK(decays("unbiased_table", {4, 3}, ParameterRole::embedding));
  for (const ParameterRole role : {ParameterRole::bias, ParameterRole::norm, ParameterRole::position,
                                   ParameterRole::token, ParameterRole::scale}) {
    CHECK_FALSE(decays(fmt::format("weight_{}", static_cast<int>(role)), {2, 3}, role));
  }
}
