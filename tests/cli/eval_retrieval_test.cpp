// cuclip eval retrieval of pictures with several captions each, against features that cuclip encode writes.
#include <algorithm>
#include <catch2/catch.hpp>

#include "models/files/safetensors.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Rows = std::vector<std::vector<double>>;

Rows rows_of(const std::filesystem::path& file) {
  const Safetensors tensors = Safetensors::open(file);
  const auto* features = tensors.find("features");
  REQUIRE(features);
  const auto width = static_cast<size_t>(features->shape[1]);
  const auto* values = reinterpret_cast<const float*>(features->data.data());
  Rows rows;
  for (size_t at = 0; at < features->data.size() / sizeof(float); at += width)
    rows.emplace_back(values + at, values + at + width);
  return rows;
}

// 1 + the number of wrong candidates at least as similar as the best right one.
double rank(const std::vector<double>& query, const Rows& candidates, const std::vector<size_t>& right) {
  const auto similarity = [&](size_t c) {
    return std::inner_product(query.begin(), query.end(), candidates[c].begin(), 0.0);
  };
  double best = -2;
  for (const size_t r : right) best = std::max(best, similarity(r));
  double rank = 1;
  for (size_t c = 0; c < candidates.size(); ++c)
    rank += std::find(right.begin(), right.end(), c) == right.end() && similarity(c) >= best;
  return rank;
}

void check_direction(const nlohmann::json& json, std::vector<double> ranks) {
  std::sort(ranks.begin(), ranks.end());
  const size_t n = ranks.size();
  CHECK(json["queries"] == n);
  CHECK(json["median_rank"].get<double>() == 0.5 * (ranks[(n - 1) / 2] + ranks[n / 2]));
  for (const int depth : {1, 5, 10}) {
    const auto found = std::count_if(ranks.begin(), ranks.end(), [&](double r) { return r <= depth; });
    CHECK(json["R@" + std::to_string(depth)].get<double>() ==
          Approx(static_cast<double>(found) / static_cast<double>(n)));
  }
}

TEST_CASE_METHOD(ModelOnDisk, "rows of a table with the same picture are captions of one picture") {
  const std::vector<std::pair<size_t, std::string>> rows = {
      {3, "abc"}, {0, "b"},  {1, "da"}, {3, "ec"},  {0, "ab de"}, {2, "ca"}, {4, "ee d"},
      {1, "ce"},  {3, "bb"}, {5, "a"},  {6, "d c"}, {0, "e a"},   {2, "cb"}, {5, "dd a"}};
  std::string table = "filepath,title\n";
  std::vector<std::string> texts, images;  // in the order in which the table has them
  std::vector<size_t> order;               // of the pictures
  for (const auto& [image, text] : rows) {
    table += "pictures/" + std::to_string(image) + ".png," + text + "\n";
    texts.push_back(text);
    if (std::find(order.begin(), order.end(), image) == order.end()) order.push_back(image);
  }
  for (const size_t image : order) images.push_back(picture(static_cast<int>(image)));
  std::vector<std::string> encode_texts = {"encode", "text"}, encode_images = {"encode", "image"};
  encode_texts.insert(encode_texts.end(), texts.begin(), texts.end());
  encode_images.insert(encode_images.end(), images.begin(), images.end());
  for (auto* arguments : {&encode_texts, &encode_images})
    arguments->insert(arguments->end(), {"--out", folder / (arguments->at(1) + ".safetensors")});
  REQUIRE(cuclip(encode_texts).exit_code == 0);
  REQUIRE(cuclip(encode_images).exit_code == 0);
  const Rows text = rows_of(folder / "text.safetensors"), image = rows_of(folder / "image.safetensors");
  std::vector<double> of_images, of_texts;
  for (size_t i = 0; i < order.size(); ++i) {
    std::vector<size_t> right;
    for (size_t r = 0; r < rows.size(); ++r) {
      if (rows[r].first == order[i]) right.push_back(r);
    }
    of_images.push_back(rank(image[i], text, right));
  }
  for (size_t r = 0; r < rows.size(); ++r) {
    const auto own = std::find(order.begin(), order.end(), rows[r].first) - order.begin();
    of_texts.push_back(rank(text[r], image, {static_cast<size_t>(own)}));
  }
  const auto json = cuclip_json({"eval", "retrieval", "--data", folder.write("pairs.csv", table)});
  CHECK(json["pictures"] == 7);
  CHECK(json["captions"] == 14);
  check_direction(json["image_to_text"], of_images);
  check_direction(json["text_to_image"], of_texts);
}

}  // namespace
}  // namespace cuclip::test
