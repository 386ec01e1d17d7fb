#include "train/data/search_eval.h"

#include "train/data/caption_words.h"

#include <catch2/catch.hpp>

#include "models/inference/zero_shot.h"
#include "models/text/english.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Strings = std::vector<std::string>;
using Rows = std::vector<int64_t>;

// Whether a picture with this caption is right for the word.
bool says(const std::string& caption, const std::string& word) {
  const std::vector<Strings> captions = {{caption}};
  return !pictures_with_words(captions, Strings{word})[0].empty();
}

TEST_CASE("a word is found as a word, in either case, in the singular or in a plural in -s or -ies") {
  CHECK(says("A bird, flying", "bird"));
  CHECK(says("BIRDS", "bird"));
  CHECK(says("one bird", "Birds"));
  CHECK(says("\u201Cbird\u201D\u2014flying", "bird"));  // curly quotes and a dash
  CHECK(says("a dog's head", "dog"));
  CHECK(says("two butterflies", "butterfly"));
  CHECK(says("cat&amp;dog", "dog"));
  CHECK(says("bird-cage", "bird"));
  CHECK_FALSE(says("birdcage", "bird"));
  CHECK_FALSE(says("a bicycle", "cycle"));
  CHECK_FALSE(says("catalogue", "cat"));
  // What the contract says is not known as a plural.
  CHECK_FALSE(says("boxes", "box"));
  CHECK_FALSE(says("mice", "mouse"));
}

TEST_CASE("entries of several words match as a whole, and words of other scripts in theirs") {
  CHECK(says("A hot-air balloon: red", "air balloon"));
  CHECK_FALSE(says("a hot-air balloon", "hot air balloon"));  // the hyphen is between them
  CHECK(says("a red hot air balloon", "hot air balloon"));
  CHECK(says("hot hot air balloons", "hot air balloon"));
  CHECK_FALSE(says("hot air", "hot air balloon"));
  CHECK_FALSE(says("balloon of hot air", "hot air balloon"));
  CHECK(says("Красная ПТИЦА", "птица"));
  CHECK(says("Ein V\u00D6GEL", "vo\u0308gel"));  // composed and not
  CHECK(says("\u9CE5 \u3068 \u82B1", "\u9CE5"));
  CHECK_FALSE(says("\u5C0F\u9CE5\u304C\u98DB\u3076", "\u9CE5"));  // no spaces: no words
  CHECK(says("\u0939\u093F\u0928\u094D\u0926\u0940", "\u0939\u093F\u0928\u094D\u0926\u0940"));
}

TEST_CASE("a picture counts once however often its captions have the word, for each word that they have") {
  const std::vector<Strings> captions = {
      {"a bird and a bird", "birds"}, {"a cat"}, {"nothing", "a cat on a bird"}, {}};
  CHECK(pictures_with_words(captions, Strings{"bird", "cat", "dog", "a cat"}) ==
        std::vector<Rows>{{0, 2}, {1, 2}, {}, {1, 2}});
  CHECK_THROWS_WITH(pictures_with_words(captions, Strings{"bird", "&nbsp;"}), Contains("\"&nbsp;\""));
}

TEST_CASE("the article goes by the first letter") {
  CHECK(with_article("bird") == "a bird");
  CHECK(with_article("apple") == "an apple");
  CHECK(with_article("Egg") == "an Egg");
  CHECK(with_article("\u00C9cole") == "an \u00C9cole");
  CHECK(with_article("\u9CE5") == "a \u9CE5");
}

TEST_CASE("words are ranked in every form, and those that occur nowhere are listed, not counted") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const Tokenizer tokenizer = tiny_tokenizer();
  PictureCollection collection;
  std::vector<uint8_t> pixels(5 * 12 * 12 * 3);
  for (uint8_t& byte : pixels) byte = static_cast<uint8_t>(rng()());
  collection.features = encode_pixels(model, pixels);
  collection.captions = {{"a bird"}, {"an apple"}, {"x"}, {"birds", "apple"}, {"y"}};
  const Strings words = {"boat", "bird", "apple"}, found = {"bird", "apple"}, templates = {"x {}", "y {}"};
  const SearchScores scores = evaluate_search(model, tokenizer, collection, words, 12, templates);
  CHECK(scores.pictures == 5);
  CHECK(scores.words == found);
  CHECK(scores.right == Rows{2, 2});
  CHECK(scores.missing == Strings{"boat"});
  const std::vector<Rows> right = {{0, 3}, {1, 3}};
  const auto check_form = [&](size_t form, const std::string& name, const Tensor& queries) {
    REQUIRE(scores.forms.size() == 4);
    CHECK(scores.forms[form].name == name);
    const auto expected = rank_queries(context, queries, collection.features, right, 12);
    for (size_t w = 0; w < 2; ++w) {
      CHECK(scores.forms[form].rankings[w].precision == expected[w].precision);
      CHECK(scores.forms[form].rankings[w].average_precision == expected[w].average_precision);
    }
    CHECK(scores.forms[form].mean.precision == mean_ranking(expected).precision);
  };
  check_form(0, "bare", encode_texts(model, tokenizer, found));
  check_form(1, "with_article", encode_texts(model, tokenizer, Strings{"a bird", "an apple"}));
  check_form(2, "templates", zero_shot_classifier(model, tokenizer, found, templates));
  CHECK(scores.forms[3].name == "chance");
  CHECK(scores.forms[3].mean.precision == Approx(2.0 / 5));

  const auto json = to_json(scores);
  CHECK(json["words"][1]["word"] == "apple");
  CHECK(json["words"][1]["pictures"] == 2);
  CHECK(json["words"][1]["with_article"]["average_precision"] ==
        scores.forms[1].rankings[1].average_precision);
  CHECK(json["mean"]["bare"]["precision"] == scores.forms[0].mean.precision);
  CHECK(json["missing"] == Strings{"boat"});
  CHECK_FALSE(means_json(scores).contains("words"));
}

TEST_CASE("none of the words in any caption gives no means") {
  Context context(1);
  const ClipModel model(context, tiny_config());
  const PictureCollection collection{
      .features = Tensor::zeros(context, {1, model.config().embed_dim}, DType::f32),
      .captions = {{"x"}},
      .bad = {}};
  const SearchScores scores = evaluate_search(model, tiny_tokenizer(), collection, everyday_words());
  CHECK(scores.missing.size() == everyday_words().size());
  CHECK(scores.forms.empty());
  CHECK_FALSE(to_json(scores).contains("mean"));
}

TEST_CASE("a collection has the pictures that can be used, in order, with their captions") {
  const TemporaryFolder folder;
  const auto pair = [&](const std::string& name, const std::string& bytes, const std::string& caption) {
    folder.write(name + ".png", bytes);
    folder.write(name + ".txt", caption);
  };
  const Image first = random_image(14, 12), last = random_image(20, 31);
  pair("0", bmp_bytes(first), "first");
  pair("1", "<html>", "page");
  pair("2", bmp_bytes(random_image(9, 9)), " \n");
  pair("3", bmp_bytes(last), "last");
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const auto dataset = open_dataset(folder.path().string());
  const PictureCollection collection = encode_collection(model, *dataset, 0, 0.5);
  CHECK(collection.captions == std::vector<Strings>{{"first"}, {"last"}});
  CHECK(collection.bad.count == 2);
  CHECK(collection.bad.by_reason.size() == 2);
  const std::vector<Image> good = {first, last};
  const EncodedPictures expected =
      encode_pictures(model, 2, [&](int64_t i) { return good[static_cast<size_t>(i)]; });
  CHECK(collection.features.to_floats() == expected.features.to_floats());
  CHECK_THROWS_WITH(encode_collection(model, *dataset, 0, 0.4), Contains("--max-bad-fraction"));
  CHECK(encode_collection(model, *dataset, 1).captions == std::vector<Strings>{{"first"}});
}

}  // namespace
}  // namespace cuclip::test
