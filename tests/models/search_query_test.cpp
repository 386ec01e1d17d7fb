#include "models/inference/search_query.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "models/inference/zero_shot.h"
#include "tests/support/buffer.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Terms = std::vector<QueryTerm>;
using Texts = std::vector<WeightedText>;

TEST_CASE("words without signs and quotation marks are one term, as they are") {
  for (const char* words :
       {"a red bicycle", " two  spaces ", "well-known C++ a+b", "5\" disk", "\u9CE5", "it's a-", "x+ y"})
    CHECK(parse_query(words) == Terms{{words}});
}

TEST_CASE("a sign before a word, or before a phrase in quotation marks, adds or subtracts it") {
  CHECK(parse_query("bicycle -sign") == Terms{{"bicycle"}, {"sign", true}});
  CHECK(parse_query("red  bird +water\t-hot-air") == Terms{{"red bird"}, {"water"}, {"hot-air", true}});
  CHECK(parse_query("bird -\"road sign\" flying") == Terms{{"bird flying"}, {"road sign", true, true}});
  CHECK(parse_query("+a +\"b c\"") == Terms{{"a"}, {"b c", false, true}});
  CHECK(parse_query("-sign") == Terms{{"sign", true}});  // what a picture may be combined with
  CHECK(parse_query("a --b") == Terms{{"a"}, {"-b", true}});
}

TEST_CASE("quotation marks keep a sign a character") {
  CHECK(parse_query("\"-\"") == Terms{{"-", false, true}});
  CHECK(parse_query("\"-5 degrees\" -snow") == Terms{{"-5 degrees", false, true}, {"snow", true}});
  CHECK(parse_query("\u201Eroad sign\u201C \u2212\u201Ccat\u201D") ==
        Terms{{"road sign", false, true}, {"cat", true, true}});
  CHECK(parse_query("the \"stop\"-sign") == Terms{{"the stop-sign", false, true}});
}

TEST_CASE("blank terms, open quotation marks and contradictions are refused") {
  for (const char* words : {"-", "+", "+ ", "a - b", "a -\"\"", "\" \"", "a +"})
    CHECK_THROWS_WITH(parse_query(words), Contains("a term without text") && Contains("(\"-\")"));
  for (const char* words : {"", " \t"}) CHECK_THROWS_WITH(parse_query(words), Contains("must not be blank"));
  for (const char* words : {"\"a", "a -\"b c"})
    CHECK_THROWS_WITH(parse_query(words), Contains("never closed"));
  for (const char* words : {"cat -cat", "Cat -cAT", "a +b -b", "\"big cat\" -\"big  cat\""})
    CHECK_THROWS_WITH(parse_query(words), Contains("both looked for and subtracted"));
  CHECK_THROWS_WITH(parse_query("\x1b[31m -"), Contains("\\x1b[31m -") && !Contains("\x1b"));
}

TEST_CASE("the head of an added phrase counts besides the phrase, unless it is in quotation marks") {
  CHECK(weighted_texts(parse_query("a red bicycle +\"road sign\" -\"big dog\" -cat")) ==
        Texts{{"a red bicycle", 1},
              {"road sign", 1},
              {"big dog", -kSubtractedWeight},
              {"cat", -kSubtractedWeight},
              {"bicycle", kHeadWeight}});
  CHECK(weighted_texts(parse_query("\"a red bicycle\"")) == Texts{{"a red bicycle", 1}});
  CHECK(weighted_texts(parse_query("a bicycle")) == Texts{{"a bicycle", 1}});
  // Otherwise it would cancel what is subtracted.
  CHECK(weighted_texts(parse_query("hot dog -Dog")) == Texts{{"hot dog", 1}, {"Dog", -kSubtractedWeight}});
}

Tensor rows(Context& context, const std::vector<float>& values) {
  return Tensor::from<float>(context, {std::ssize(values) / 3, 3}, std::span<const float>(values));
}

TEST_CASE("a query's vector is the direction of its weighted sum") {
  Context context(1);
  const Tensor texts = rows(context, {1, 0, 0, 0, 1, 0}), pictures = rows(context, {0, 0, 1});
  const auto composed = [&](const Texts& terms, const Tensor& t, const Tensor& p) {
    const Tensor query = compose_query(context, terms, t, p);
    CHECK(query.size(0) == 1);
    return query.to_floats();
  };
  // A rounding of each value: 2^-24.
  const auto near = [](const std::vector<float>& actual, const std::vector<double>& sum) {
    double square = 0;
    for (const double x : sum) square += x * x;
    for (size_t i = 0; i < 3; ++i)
      CHECK(double{actual[i]} == Approx(sum[i] / std::sqrt(square)).margin(1e-7));
  };
  near(composed({{"a"}, {"b"}}, texts, {}), {1, 1, 0});
  near(composed({{"a"}, {"b", -kSubtractedWeight}}, texts, {}), {1, -double{kSubtractedWeight}, 0});
  near(composed({{"a"}, {"b"}}, texts, pictures), {1, 1, 1});
  near(composed({{"b", -kSubtractedWeight}}, texts.rows(1, 1), pictures), {0, -double{kSubtractedWeight}, 1});
  near(composed({}, {}, rows(context, {0, 1, 0, 0, 0, 1})), {0, 1, 1});
  const std::vector<float> slanted = {0.6f, 0.8f, 0.0001f};
  CHECK(composed({{"a"}}, rows(context, slanted), {}) == slanted);  // one alone: to the bit
}

TEST_CASE("sums without a direction are refused") {
  Context context(1);
  const Texts two = {{"a"}, {"b"}};
  CHECK_THROWS_WITH(compose_query(context, two, rows(context, {1, 0, 0, -1, 1e-5f, 0}), {}),
                    Contains("cancel each other out"));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_WITH(compose_query(context, two, rows(context, {1, 0, 0, nan, 0, 0}), {}),
                    Contains("not finite"));
  CHECK_THROWS_WITH(compose_query(context, Texts{{"a"}}, rows(context, {nan, 0, 0}), {}),
                    Contains("not finite"));
  CHECK_THROWS_WITH(compose_query(context, Texts{{"a", -1}}, rows(context, {1, 0, 0}), {}),
                    Contains("only what is subtracted"));
  CHECK_THROWS_WITH(compose_query(context, {}, {}, {}), Contains("expected something to look for"));
  CHECK_THROWS_AS(compose_query(context, two, rows(context, {1, 0, 0}), {}), InputError);
}

TEST_CASE("queries are encoded together as each alone, with their heads and templates") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  const Tokenizer tokenizer = tiny_tokenizer();
  const std::vector<std::string> templates = {"{}", "x {} y"};
  const std::vector<Terms> queries = {parse_query("a red bicycle -sign"), parse_query("cat"),
                                      parse_query("+b")};
  const Tensor all = encode_queries(model, tokenizer, queries, {}, templates);
  REQUIRE(all.size(0) == 3);
  for (int64_t q = 0; q < 3; ++q) {
    const Texts parts = weighted_texts(queries[static_cast<size_t>(q)]);
    std::vector<std::string> texts;
    for (const WeightedText& part : parts) texts.push_back(part.text);
    const Tensor rows = zero_shot_classifier(model, tokenizer, texts, templates);
    const std::vector<float> expected = compose_query(context, parts, rows, {}).to_floats(),
                             actual = all.rows(q, 1).to_floats();
    // The texts are encoded in batches of another size: some roundings of unit vectors in f32.
    for (size_t i = 0; i < expected.size(); ++i) CHECK(actual[i] == Approx(expected[i]).margin(2e-6));
  }
  const Tensor picture = zero_shot_classifier(model, tokenizer, std::vector<std::string>{"p"}, templates);
  const std::vector<Terms> none(1);
  CHECK(encode_queries(model, tokenizer, none, picture, templates).to_floats() == picture.to_floats());
}

}  // namespace
}  // namespace cuclip::test
