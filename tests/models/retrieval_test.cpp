#include "models/inference/retrieval.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <numeric>

#include "models/inference/encode.h"
#include "tests/support/buffer.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Rows = std::vector<std::vector<float>>;

Tensor tensor_of(Context& context, const Rows& rows) {
  std::vector<float> flat;
  for (const auto& row : rows) flat.insert(flat.end(), row.begin(), row.end());
  return Tensor::from<float>(context,
                             {static_cast<int64_t>(rows.size()), static_cast<int64_t>(rows[0].size())},
                             std::span<const float>(flat));
}

// Rows of ±1 with 64 columns: norms are 8 and similarities multiples of 1/64, all exact in f32, so ties are
// many and real.
Rows random_signs(size_t rows) {
  Rows result(rows, std::vector<float>(64));
  for (auto& row : result) {
    for (float& x : row) x = rng()() % 2 ? 1.0f : -1.0f;
  }
  return result;
}

int dot(const std::vector<float>& a, const std::vector<float>& b) {
  return static_cast<int>(std::inner_product(a.begin(), a.end(), b.begin(), 0.0f));
}

// The ranks by sorting: candidates by score, the wrong ones first among equals; the place of the first right
// one.
template <typename IsRight>
std::vector<double> sorted_ranks(const Rows& queries, const Rows& candidates, IsRight is_right) {
  std::vector<double> ranks;
  for (size_t q = 0; q < queries.size(); ++q) {
    std::vector<std::pair<int, int>> order;  // negative score, right
    for (size_t c = 0; c < candidates.size(); ++c) {
      order.emplace_back(-dot(queries[q], candidates[c]), is_right(q, c) ? 1 : 0);
    }
    std::sort(order.begin(), order.end());
    const auto first = std::find_if(order.begin(), order.end(), [](const auto& o) { return o.second == 1; });
    ranks.push_back(static_cast<double>(first - order.begin() + 1));
  }
  return ranks;
}

void check_direction(const RetrievalDirection& actual, std::vector<double> ranks) {
  std::sort(ranks.begin(), ranks.end());
  const size_t n = ranks.size();
  CHECK(actual.median_rank == 0.5 * (ranks[(n - 1) / 2] + ranks[n / 2]));
  for (size_t d = 0; d < 3; ++d) {
    const auto hits = std::count_if(ranks.begin(), ranks.end(), [&](double r) {
      return r <= static_cast<double>(RetrievalDirection::kDepths[d]);
    });
    CHECK(actual.recall[d] == Approx(static_cast<double>(hits) / static_cast<double>(n)));
  }
}

TEST_CASE("retrieval ranks equal those of sorting, with many ties and several captions a picture") {
  Context context(2);
  for (const auto& [images, texts] : {std::pair{1, 1}, {1, 7}, {3, 5}, {37, 91}, {1100, 1303}}) {
    const Rows image = random_signs(static_cast<size_t>(images));
    Rows text = random_signs(static_cast<size_t>(texts));
    std::vector<int64_t> image_of_text(static_cast<size_t>(texts));
    for (size_t m = 0; m < image_of_text.size(); ++m) {
      image_of_text[m] =
          m < image.size() ? static_cast<int64_t>(m) : static_cast<int64_t>(rng()() % image.size());
      // Close to its picture for some, so that ranks are of all kinds.
      const size_t copied = rng()() % 40;
      std::copy_n(image[static_cast<size_t>(image_of_text[m])].begin(), copied, text[m].begin());
    }
    std::shuffle(image_of_text.begin() + images, image_of_text.end(), rng());
    const RetrievalMetrics metrics =
        retrieval_metrics(context, tensor_of(context, image), tensor_of(context, text), image_of_text);
    const auto belongs = [&](size_t i, size_t m) { return image_of_text[m] == static_cast<int64_t>(i); };
    check_direction(metrics.image_to_text, sorted_ranks(image, text, belongs));
    check_direction(metrics.text_to_image,
                    sorted_ranks(text, image, [&](size_t m, size_t i) { return belongs(i, m); }));
    CHECK(metrics.image_to_text.queries == images);
    CHECK(metrics.image_to_text.candidates == texts);
  }
}

TEST_CASE("a model whose features collapsed to a point gets the worst ranks") {
  Context context(1);
  const Rows same(20, random_signs(1)[0]);
  std::vector<int64_t> own(20);
  std::iota(own.begin(), own.end(), 0);
  const Tensor features = tensor_of(context, same);
  const RetrievalMetrics metrics = retrieval_metrics(context, features, features, own);
  CHECK(metrics.image_to_text.median_rank == 20);
  CHECK(metrics.image_to_text.recall == std::array<double, 3>{0, 0, 0});
  CHECK(metrics.text_to_image.recall == std::array<double, 3>{0, 0, 0});
}

TEST_CASE("features that are not finite rank last, whichever side they are on") {
  Context context(1);
  Rows image = random_signs(12);
  const Rows text = image;
  std::vector<int64_t> own(12);
  std::iota(own.begin(), own.end(), 0);
  image[4][3] = std::nanf("");
  const RetrievalMetrics metrics =
      retrieval_metrics(context, tensor_of(context, image), tensor_of(context, text), own);
  // Picture 4 finds nothing; to every caption it is one wrong picture ahead.
  CHECK(metrics.image_to_text.recall[0] == Approx(11.0 / 12));
  CHECK(metrics.image_to_text.recall[2] == Approx(11.0 / 12));
  CHECK(metrics.text_to_image.recall[0] == 0);
  CHECK(metrics.text_to_image.recall[1] == Approx(11.0 / 12));
}

TEST_CASE("chance is that of a random order") {
  Context context(1);
  // Four pictures, the first with three captions, the others with one.
  const std::vector<int64_t> image_of_text = {0, 0, 1, 2, 0, 3};
  const RetrievalMetrics metrics = retrieval_metrics(context, tensor_of(context, random_signs(4)),
                                                     tensor_of(context, random_signs(6)), image_of_text);
  CHECK(metrics.image_to_text.chance[0] == Approx((3.0 / 6 + 3 * 1.0 / 6) / 4));
  // Of 6 captions 5 are drawn: one of three is always among them, a single one in 5 of 6 cases.
  CHECK(metrics.image_to_text.chance[1] == Approx((1.0 + 3 * 5.0 / 6) / 4));
  CHECK(metrics.image_to_text.chance[2] == 1.0);
  CHECK(metrics.text_to_image.chance[0] == Approx(0.25));
  const auto json = to_json(metrics);
  CHECK(json["text_to_image"]["chance"]["R@1"].get<double>() == Approx(0.25));
  CHECK(json["image_to_text"].contains("median_rank"));
}

TEST_CASE("a data set is encoded with all captions of every picture") {
  Context context(2);
  ClipModel model(context, tiny_config());
  randomise(model);
  CaptionedPictures data;
  data.images.resize(3 * 12 * 12 * 3);
  for (uint8_t& byte : data.images) byte = static_cast<uint8_t>(rng()());
  data.captions = {{"a", "b b"}, {"c"}, {"d e"}};
  const auto actual = to_json(evaluate_retrieval(model, tiny_tokenizer(), data));
  const std::vector<std::string> texts = {"a", "b b", "c", "d e"};
  const auto expected = to_json(retrieval_metrics(context, encode_pixels(model, data.images),
                                                  encode_texts(model, tiny_tokenizer(), texts),
                                                  std::vector<int64_t>{0, 0, 1, 2}));
  CHECK(actual == expected);
  CHECK(to_json(evaluate_retrieval(model, tiny_tokenizer(), encode_pixels(model, data.images),
                                   data.captions)) == expected);
  CHECK(actual["text_to_image"]["queries"] == 4);
  CHECK_THROWS_AS(evaluate_retrieval(model, tiny_tokenizer(), CaptionedPictures()), InputError);
}

TEST_CASE("retrieval refuses pairs that do not fit together") {
  Context context(1);
  const Tensor two = tensor_of(context, random_signs(2));
  const std::vector<int64_t> outside = {0, 2}, childless = {0, 0}, negative = {-1, 0}, three = {0, 1, 1};
  for (const auto& wrong : {outside, childless, negative, three}) {
    CHECK_THROWS_AS(retrieval_metrics(context, two, two, wrong), InputError);
  }
}

}  // namespace
}  // namespace cuclip::test
