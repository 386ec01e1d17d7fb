// labels: threads
// cuclip/cuclip.h: a Classifier answers as Clip::classify does, and encodes its labels once.
#include <cuclip/cuclip.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include "models/image/image_decode.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

struct Fixture : ModelOnDisk {
  Clip clip = Clip::load(run, {.threads = 2, .device = "cpu"});
};

void check_same(const std::vector<LabelProbability>& actual, const std::vector<LabelProbability>& expected) {
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < actual.size(); ++i) {
    CHECK(actual[i].label == expected[i].label);
    CHECK(actual[i].index == expected[i].index);
    CHECK(actual[i].probability == expected[i].probability);
    CHECK(actual[i].similarity == expected[i].similarity);
  }
}

TEST_CASE_METHOD(Fixture, "a classifier's answers are those of classify, for files, pixels and features") {
  const Classifier classifier(clip, {"a", "b c", "dd"}, {"{}", "x {}"});
  for (int i = 0; i < 4; ++i) {
    const std::vector<LabelProbability> expected =
        clip.classify(picture(i), {"a", "b c", "dd"}, {"{}", "x {}"});
    check_same(classifier.classify(picture(i)), expected);
    check_same(classifier.classify(clip.encode_images({picture(i)}).row(0)), expected);
    const Image image = load_image(picture(i));
    const RgbView view = {.data = image.rgb.data(),
                          .width = static_cast<size_t>(image.width),
                          .height = static_cast<size_t>(image.height),
                          .stride = 3 * static_cast<size_t>(image.width)};
    check_same(classifier.classify(view), expected);
  }
  CHECK(classifier.labels() == std::vector<std::string>{"a", "b c", "dd"});
}

TEST_CASE_METHOD(Fixture, "a classifier has the mean of each label's texts") {
  const Features one = clip.encode_texts({"x a", "y a"}),
                 both = Classifier(clip, {"a"}, {"x {}", "y {}"}).features();
  REQUIRE(both.size() == 1);
  double length = 0;
  std::vector<double> sum(10);
  for (size_t c = 0; c < 10; ++c) {
    sum[c] = double{one.row(0)[c]} + double{one.row(1)[c]};
    length += sum[c] * sum[c];
  }
  for (size_t c = 0; c < 10; ++c) CHECK(both.row(0)[c] == Approx(sum[c] / std::sqrt(length)).margin(1e-5));
}

TEST_CASE_METHOD(Fixture, "a classifier keeps its labels and its model, and threads share it") {
  const Classifier classifier = [&] {
    const Clip own = Clip::load(run, {.threads = 2, .device = "cpu"});
    const std::vector<std::string> labels = {"a", "b"};
    return Classifier(own, labels);
  }();
  std::vector<std::vector<LabelProbability>> together(4);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < together.size(); ++i)
    threads.emplace_back([&, i] { together[i] = classifier.classify(picture(static_cast<int>(i))); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < together.size(); ++i)
    check_same(together[i], clip.classify(picture(static_cast<int>(i)), {"a", "b"}));
}

TEST_CASE_METHOD(Fixture, "labels that say nothing, and features of another model, are refused") {
  CHECK_THROWS_WITH(Classifier(clip, ListOf<std::string>()), Contains("expected labels"));
  CHECK_THROWS_WITH(Classifier(clip, {"a", " "}), Contains("label 1"));
  CHECK_THROWS_WITH(Classifier(clip, {"a"}, {"{}", "\xff{}"}), Contains("template 1"));
  CHECK_THROWS_WITH(Classifier(clip, {"a"}, {"no place"}), Contains("template 0"));
  const Classifier classifier(clip, {"a"});
  CHECK_THROWS_WITH(classifier.classify(std::vector<float>{1, 0}), Contains("10 dimensions, got 2"));
  CHECK_THROWS_WITH(classifier.classify(std::vector<float>(10, 1.0f)), Contains("length"));
  CHECK_THROWS_WITH(classifier.classify(folder / "missing.png"), Contains("missing.png"));
}

}  // namespace
}  // namespace cuclip::test
