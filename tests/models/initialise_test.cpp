// Fresh models against the statistics of fresh models of open_clip (tests/tools/record_open_clip.py).
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/support/buffer.h"
#include "tests/support/open_clip_recording.h"
#include "tests/support/paths.h"

using namespace cuclip;

namespace {

struct Moments {
  double count = 0, first = 0, second = 0, fourth = 0;

  void add(double x) {
    count++;
    first += x;
    second += x * x;
    fourth += x * x * x * x;
  }
  double mean() const { return first / count; }
  // About zero: whatever is drawn has the mean zero.
  double deviation() const { return std::sqrt(second / count); }
  double kurtosis() const { return fourth / count / std::pow(second / count, 2); }
};

}  // namespace

// A sample of n has a standard deviation that strays by √((kurtosis - 1) / 4n) of it, a mean that strays by
// 1/√n deviations, and a kurtosis that strays by √(24/n) (normal; less for a uniform distribution). The
// bounds are five times that, for n drawn here; the recording drew 400/50 times as many.
TEST_CASE("every parameter of a fresh model is distributed as in open_clip") {
  const test::OpenClipRecording recording("gelu");
  std::ifstream in(test::test_data() + "/open_clip/initialisation.json");
  const nlohmann::json expected = nlohmann::json::parse(in);
  Context context(2);
  ClipModel model(context, recording.config());
  REQUIRE(expected.size() == model.parameters().parameters().size());

  std::vector<Moments> moments(expected.size());
  for (int i = 0; i < 50; ++i) {
    model.initialise(test::rng()());
    auto m = moments.begin();
    for (const Parameter& p : model.parameters().parameters()) {
      for (const float value : p.value.to_floats()) m->add(static_cast<double>(value));
      m++;
    }
  }
  auto m = moments.begin();
  for (const Parameter& p : model.parameters().parameters()) {
    const double mean = expected.at(p.name)[0], deviation = expected.at(p.name)[1],
                 kurtosis = expected.at(p.name)[2];
    INFO(p.name << ": mean " << m->mean() << ", deviation " << m->deviation() << ", expected " << mean << ", "
                << deviation);
    if (deviation == 0) {
      for (const float value : p.value.to_floats())
        CHECK(static_cast<double>(value) == Approx(mean).margin(1e-6));
    } else {
      const double five = 5 * std::sqrt(9.0 / 8);  // with the recording's own error
      CHECK(std::abs(m->mean()) <= five * deviation / std::sqrt(m->count));
      CHECK(m->deviation() == Approx(deviation).epsilon(five * std::sqrt((kurtosis - 1) / (4 * m->count))));
      CHECK(m->kurtosis() == Approx(kurtosis).margin(five * std::sqrt(24 / m->count)));
    }
    m++;
  }
}

TEST_CASE("a fresh model depends only on the seed") {
  const ClipConfig config = test::OpenClipRecording("gelu").config();
  Context one(1), two(2);
  ClipModel a(one, config), b(two, config), c(two, config);
  a.initialise(5);
  b.initialise(5);
  c.initialise(6);
  CHECK(a.parameters().values().to_floats() == b.parameters().values().to_floats());
  CHECK(a.parameters().values().to_floats() != c.parameters().values().to_floats());
}
