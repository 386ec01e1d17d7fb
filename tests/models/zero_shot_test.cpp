#include "models/inference/zero_shot.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <cmath>
#include <set>

#include "models/inference/encode.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

Tensor tensor_of(Context& context, const Shape& shape, const std::vector<float>& values) {
  return Tensor::from<float>(context, shape, std::span(values));
}

TEST_CASE("templates come from a name or a file") {
  const TemporaryFolder folder;
  CHECK(load_templates("simple") == std::vector<std::string>{"a photo of a {}."});
  CHECK(load_templates("none") == std::vector<std::string>{"{}"});
  CHECK(load_templates("openai7").size() == 7);
  const std::vector<std::string> all = load_templates("openai80");
  CHECK(all.size() == 80);
  CHECK(std::set(all.begin(), all.end()).size() == 80);
  for (const std::string& pattern : load_templates("openai7")) {
    CHECK_THAT(pattern, Catch::Contains("{}"));
    CHECK(std::find(all.begin(), all.end(), pattern) != all.end());
  }
  for (const std::string& pattern : all) CHECK(pattern.find("{}") == pattern.rfind("{}"));
  folder.write("t.txt", "a {}, seen\r\n\n  \n{} and {}");
  CHECK(load_templates(folder / "t.txt") == std::vector<std::string>{"a {}, seen", "{} and {}"});
}

TEST_CASE("template files that hold none, or a line without a place for the name, are refused") {
  const TemporaryFolder folder;
  folder.write("empty.txt", "\n \n");
  folder.write("wrong.txt", "a {}\na photo of a dog");
  CHECK_THROWS_WITH(load_templates(folder / "empty.txt"), Catch::Contains("one entry per line"));
  CHECK_THROWS_WITH(load_templates(folder / "wrong.txt"), Catch::Contains("a photo of a dog"));
  CHECK_THROWS_AS(load_templates("no-such-file"), InputError);
}

TEST_CASE("every placeholder is filled, and a name with braces does no harm") {
  CHECK(fill_template("a {} and a {}", "cat") == "a cat and a cat");
  CHECK(fill_template("a {}", "{}{}") == "a {}{}");
  CHECK(fill_template("{}", "") == "");
  CHECK(fill_template("{}{} b{}", "") == " b");
  CHECK(fill_template("{{}}", "a") == "{a}");
}

TEST_CASE("a template and a name that make no caption are refused before there is memory for it") {
  std::string pattern, name(100'000, 'x');
  for (int i = 0; i < 100'000; ++i) pattern += "{}";
  const auto start = std::chrono::steady_clock::now();
  CHECK_THROWS_WITH(fill_template(pattern, name), Catch::Contains("more than 67108864 bytes; shorten") &&
                                                      !Catch::Contains(std::string(500, 'x')));
  // Of 10 GB, 64 MiB were copied; all of them, moved at every place, took more than a minute.
  CHECK(std::chrono::steady_clock::now() - start < std::chrono::seconds(20));
  CHECK(fill_template("{}", std::string(kMaxTextBytes, 'x')).size() == kMaxTextBytes);
}

TEST_CASE("a class's row is the normalised mean of its normalised prompts") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const Tokenizer tokenizer = tiny_tokenizer();
  const std::vector<std::string> classes = {"a", "bc", "dd", "e f"}, templates = {"{}", "x {}", "{} y"};
  const std::vector<float> actual = zero_shot_classifier(model, tokenizer, classes, templates).to_floats();
  REQUIRE(actual.size() == 4 * 10);
  for (size_t c = 0; c < classes.size(); ++c) {
    std::vector<double> sum(10);
    for (const std::string& pattern : templates) {
      const std::string prompt = fill_template(pattern, classes[c]);
      const std::vector<float> feature = encode_texts(model, tokenizer, std::span(&prompt, 1)).to_floats();
      for (size_t i = 0; i < 10; ++i) sum[i] += double{feature[i]};
    }
    double norm = 0;
    for (const double x : sum) norm += x * x;
    // Encoded in batches of another size: the features differ by roundings.
    for (size_t i = 0; i < 10; ++i)
      CHECK(actual[c * 10 + i] == Approx(sum[i] / std::sqrt(norm)).margin(1e-5));
  }
  CHECK_THROWS_AS(zero_shot_classifier(model, tokenizer, {}, templates), InputError);
  CHECK_THROWS_AS(zero_shot_classifier(model, tokenizer, classes, {}), InputError);
}

TEST_CASE("accuracies count the first and the first five, of all pictures and of each class") {
  Context context(1);
  // Six classes on the axes of six dimensions; class 5 has no picture.
  std::vector<float> axes(36);
  for (size_t i = 0; i < 6; ++i) axes[i * 7] = 1;
  const Tensor classifier = tensor_of(context, {6, 6}, axes);
  // Similarities fall from the left for the first three, from the right for the last.
  const Tensor image =
      tensor_of(context, {4, 6}, {6, 5, 4, 3, 2, 1, 6, 5, 4, 3, 2, 1, 6, 5, 4, 3, 2, 1, 1, 2, 3, 4, 5, 6});
  const std::vector<int32_t> labels = {0, 1, 0, 0};
  const ClassificationMetrics metrics = zero_shot_metrics(context, image, classifier, labels);
  CHECK(metrics.pictures == 4);
  CHECK(metrics.top1 == 0.5);
  CHECK(metrics.top5 == 0.75);  // the last picture's class comes sixth
  CHECK(metrics.class_accuracy[0] == Approx(2.0 / 3));
  CHECK(metrics.class_accuracy[1] == 0);
  CHECK(std::isnan(metrics.class_accuracy[5]));
  CHECK(metrics.class_pictures == std::vector<int64_t>{3, 1, 0, 0, 0, 0});
  CHECK(metrics.mean_per_class == Approx((2.0 / 3 + 0) / 2));
}

TEST_CASE("fewer than five classes, and labels that do not fit") {
  Context context(1);
  const Tensor classifier = tensor_of(context, {2, 2}, {1, 0, 0, 1});
  const Tensor image = tensor_of(context, {1, 2}, {1, 0});
  CHECK(zero_shot_metrics(context, image, classifier, std::vector<int32_t>{1}).top5 == 1);
  CHECK_THROWS_AS(zero_shot_metrics(context, image, classifier, std::vector<int32_t>{2}), InputError);
  CHECK_THROWS_AS(zero_shot_metrics(context, image, classifier, std::vector<int32_t>{-1}), InputError);
  CHECK_THROWS_AS(zero_shot_metrics(context, image, classifier, std::vector<int32_t>{0, 1}), InputError);
}

}  // namespace
}  // namespace cuclip::test
