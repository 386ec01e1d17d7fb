#include "train/data/threshold_eval.h"
#include "train/data/caption_words.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <set>

#include "models/inference/relevance.h"
#include "models/text/english.h"
#include "tests/support/buffer.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Strings = std::vector<std::string>;

TEST_CASE("the words that are often absent are distinct, and in no other list") {
  const auto words = words_often_absent();
  CHECK(words.size() >= 150);
  const std::set<std::string> distinct(words.begin(), words.end());
  CHECK(distinct.size() == words.size());
  for (const std::string& word : everyday_words()) CHECK_FALSE(distinct.contains(word));
  for (const std::string& prompt : words_without_pictures()) CHECK_FALSE(distinct.contains(prompt));
}

TEST_CASE("shares count the words that ten pictures have, and those that none has") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const Tokenizer tokenizer = tiny_tokenizer();
  PictureCollection collection;
  constexpr size_t kPictures = 24;
  std::vector<uint8_t> pixels(kPictures * 12 * 12 * 3);
  for (uint8_t& byte : pixels) byte = static_cast<uint8_t>(rng()());
  collection.features = encode_pixels(model, pixels);
  for (size_t i = 0; i < kPictures; ++i) {
    const std::string ten = i < 10 ? "birds" : "x", nine = i < 9 ? "apple" : "y";
    collection.captions.push_back({ten + " " + nine, i == 20 ? "a volcano" : "z"});
  }
  const Strings templates = {"x {}", "{} y"};
  const Strings words = {"bird", "apple", "x", "boat"};
  const ThresholdScores scores = evaluate_threshold(model, tokenizer, collection, words, templates);
  CHECK(scores.present == 2);  // bird, x
  CHECK(scores.absent == std::ssize(words_often_absent()) - 1);
  Strings absent(words_often_absent().begin(), words_often_absent().end());
  std::erase(absent, "volcano");
  const auto check_form = [&](size_t at, const std::string& name, const Strings& patterns) {
    const RelevanceScale scale = make_relevance_scale(model, tokenizer, collection.features, patterns);
    const auto share = [&](const Strings& asked) {
      const std::vector<double> of = scale.scores(encode_forms(model, tokenizer, asked, patterns));
      const auto refused =
          std::count_if(of.begin(), of.end(), [&](double s) { return s <= scale.threshold(); });
      return static_cast<double>(refused) / static_cast<double>(asked.size());
    };
    const ThresholdForm& form = scores.forms[at];
    CHECK(form.name == name);
    CHECK(form.threshold == scale.threshold());
    CHECK(form.missed == share({"bird", "x"}));
    CHECK(form.refused == share(absent));
  };
  REQUIRE(scores.forms.size() == 2);
  check_form(0, "plain", {"{}"});
  check_form(1, "templates", templates);
}

}  // namespace
}  // namespace cuclip::test
