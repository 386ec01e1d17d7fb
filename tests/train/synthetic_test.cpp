#include "train/data/synthetic.h"

#include <catch2/catch.hpp>
#include <set>

#include "train/data/synthetic_scene.h"

using namespace cuclip;
using Catch::Matchers::Contains;

namespace {
const Image& image(const Sample& sample) { return std::get<Image>(sample.picture); }
}  // namespace

TEST_CASE("synthetic scenes are determined by seed, split and index") {
  const auto one = open_dataset("synthetic:shapes?size=32&count=50&seed=7");
  const auto same = open_dataset("synthetic:shapes?size=32&count=50&seed=7");
  const auto other = open_dataset("synthetic:shapes?size=32&count=50&seed=8");
  int different = 0;
  for (int64_t i = 49; i >= 0; --i) {
    CHECK(image(one->load(i)).rgb == image(same->load(i)).rgb);
    CHECK(one->load(i).captions == same->captions(i));
    different += image(one->load(i)).rgb != image(other->load(i)).rgb;
  }
  CHECK(different > 45);
  CHECK(one->fingerprint() != other->fingerprint());
  CHECK(image(one->load(0)).width == 32);
  CHECK(image(one->load(0)).rgb.size() == 32 * 32 * 3);
}

TEST_CASE("held-out combinations occur in no caption of train and val, and only they in held-out") {
  std::set<std::string> held_out;
  for (int colour = 0; colour < shapes::kColours; ++colour) {
    for (int object = 0; object < shapes::kObjects; ++object) {
      const shapes::Combination what{static_cast<shapes::Colour>(colour),
                                     static_cast<shapes::Object>(object)};
      if (shapes::is_held_out(what)) held_out.insert(shapes::phrase(what));
    }
  }
  CHECK(held_out.size() == shapes::kObjects);
  CHECK(held_out.count("red bicycle") == 1);
  auto mentions = [&](const std::string& caption) {
    for (const std::string& phrase : held_out) {
      if (caption.find(phrase) != std::string::npos) return true;  // also its plural
    }
    return false;
  };
  for (const char* split : {"train", "val"}) {
    const auto dataset = open_dataset(std::string("synthetic:shapes?size=16&count=3000&split=") + split);
    for (int64_t i = 0; i < dataset->size(); ++i) {
      for (const std::string& caption : dataset->captions(i)) CHECK_FALSE(mentions(caption));
    }
  }
  const auto dataset = open_dataset("synthetic:shapes?size=16&count=300&split=held-out");
  for (int64_t i = 0; i < dataset->size(); ++i) {
    for (const std::string& caption : dataset->captions(i)) CHECK(mentions(caption));
  }
}

TEST_CASE("every object, colour and kind of scene occurs") {
  const auto dataset = open_dataset("synthetic:shapes?size=16&count=2000");
  std::string all;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const auto captions = dataset->captions(i);
    CHECK(captions.size() >= 3);
    for (const std::string& caption : captions) all += caption + "\n";
  }
  for (const char* word : {"circle", "bicycle", "cup", "boat", "pink", "brown", "two ", "five ",
                           "to the left of", "to the right of", "above", "below", "small", "large",
                           "light blue background", "an orange", " and no ", "houses"}) {
    INFO(word);
    CHECK(all.find(word) != std::string::npos);
  }
}

TEST_CASE("objects are drawn in their colour inside the picture") {
  for (int object = 0; object < shapes::kObjects; ++object) {
    shapes::Scene scene;
    scene.placed = {{.object = static_cast<shapes::Object>(object),
                     .colour = shapes::Colour::red,
                     .x = 0.5,
                     .y = 0.5,
                     .radius = 0.4,
                     .rotation = 0}};
    const Image drawn = shapes::render(scene, 64);
    int covered = 0, reddish = 0, border = 0;
    for (int y = 0; y < 64; ++y) {
      for (int x = 0; x < 64; ++x) {
        const uint8_t* p = &drawn.rgb[static_cast<size_t>(y * 64 + x) * 3];
        const bool ink = p[1] < 250;
        covered += ink;
        reddish += ink && p[0] > p[1] + 20;
        border += ink && (x < 3 || y < 3 || x > 60 || y > 60);
      }
    }
    INFO(object);
    CHECK(covered > 64 * 64 / 12);
    CHECK(covered < 64 * 64 * 2 / 3);
    CHECK(reddish > covered * 9 / 10);
    CHECK(border == 0);
  }
}

TEST_CASE("coverage of an edge between pixels is exact") {
  // A square of radius 0.4 (its sides at 0.8 of that) in 25 pixels: sides at 12.5 -+ 8, so from 4.5 to 20.5.
  shapes::Scene scene;
  scene.placed = {{.object = shapes::Object::square,
                   .colour = shapes::Colour::red,
                   .x = 0.5,
                   .y = 0.5,
                   .radius = 0.4,
                   .rotation = 0}};
  const Image drawn = shapes::render(scene, 25);
  auto green = [&](int x, int y) { return drawn.rgb[static_cast<size_t>(y * 25 + x) * 3 + 1]; };
  CHECK(green(12, 12) == 30);
  CHECK(green(3, 12) == 255);
  CHECK(green(4, 12) == Approx((255 + 30) / 2.0).margin(1));
  CHECK(green(12, 4) == Approx((255 + 30) / 2.0).margin(1));
  CHECK(green(20, 12) == Approx((255 + 30) / 2.0).margin(1));
}

TEST_CASE("evaluation sets: labels are among the choices, chances are right, and seeds reproduce them") {
  const std::map<SyntheticQuestion, double> chance = {{SyntheticQuestion::seen, 1 / 96.0},
                                                      {SyntheticQuestion::held_out, 1 / 96.0},
                                                      {SyntheticQuestion::counting, 1 / 5.0},
                                                      {SyntheticQuestion::spatial, 1 / 4.0},
                                                      {SyntheticQuestion::negation, 1 / 2.0}};
  for (SyntheticQuestion question : kSyntheticQuestions) {
    INFO(question_name(question));
    const SyntheticEvalSet set = synthetic_eval_set(question, 60, 24, 5);
    CHECK(set.chance == Approx(chance.at(question)));
    REQUIRE(set.images.size() == 60);
    REQUIRE(set.labels.size() == 60);
    REQUIRE(set.choices.size() == 60);
    CHECK(std::set<std::string>(set.prompts.begin(), set.prompts.end()).size() == set.prompts.size());
    std::set<int32_t> labels;
    for (size_t i = 0; i < 60; ++i) {
      CHECK(std::count(set.choices[i].begin(), set.choices[i].end(), set.labels[i]) == 1);
      labels.insert(set.labels[i]);
    }
    CHECK(labels.size() > 5);
    const SyntheticEvalSet again = synthetic_eval_set(question, 60, 24, 5);
    CHECK(again.labels == set.labels);
    CHECK(again.images[59].rgb == set.images[59].rgb);
    CHECK(synthetic_eval_set(question, 60, 24, 6).labels != set.labels);
  }
}

TEST_CASE("wrong parameters of synthetic:shapes are refused") {
  CHECK_THROWS_WITH(open_dataset("synthetic:shapes?size=2"), Contains("size must be a number from 8"));
  CHECK_THROWS_WITH(open_dataset("synthetic:shapes?colour=red"), Contains("unknown parameter \"colour\""));
  CHECK_THROWS_WITH(open_dataset("synthetic:shapes?split=test"), Contains("train, val or held-out"));
  CHECK_THROWS_WITH(open_dataset("synthetic:shapes?count"), Contains("key=value"));
  CHECK_THROWS_WITH(open_dataset("synthetic:cats"), Contains("synthetic:shapes"));
}
