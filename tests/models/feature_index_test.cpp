#include "models/inference/feature_index.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>

#include "models/files/safetensors.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

Tensor random_units(Context& context, int64_t rows) {
  const Buffer values = Buffer::normal({rows, 10}, DType::f32);
  const Tensor tensor = Tensor::from<float>(context, {rows, 10},
                                            std::span(values.data<float>(), static_cast<size_t>(rows * 10)));
  float* p = tensor.data<float>();
  for (int64_t r = 0; r < rows; ++r) {
    double square = 0;
    for (int64_t c = 0; c < 10; ++c) square += double{p[r * 10 + c]} * p[r * 10 + c];
    for (int64_t c = 0; c < 10; ++c) p[r * 10 + c] = static_cast<float>(p[r * 10 + c] / std::sqrt(square));
  }
  return tensor;
}

FeatureIndex random_index(Context& context, int64_t rows) {
  FeatureIndex index{.source = "/pictures",
                     .names = {},
                     .rows = {},
                     .is_folder = rows % 2 == 0,
                     .model = "runs/mine",
                     .model_fingerprint = "0123456789abcdef",
                     .features = random_units(context, rows)};
  for (int64_t i = 0; i < rows; ++i) {
    index.names.push_back(fmt::format("folder/\xc3\xa4 \"picture\"\n{}.png", i));
    index.rows.push_back(2 * i);
  }
  return index;
}

struct Fixture {
  Context context{2};
  TemporaryFolder folder;
  std::filesystem::path path = folder / "x.cuclip-index";
};

TEST_CASE_METHOD(Fixture, "an index that was saved loads as it was") {
  for (const int64_t rows : {1, 2, 50}) {
    const FeatureIndex index = random_index(context, rows);
    save_index(index, path);
    const FeatureIndex loaded = load_index(context, path);
    CHECK(loaded.source == index.source);
    CHECK(loaded.names == index.names);
    CHECK(loaded.rows == index.rows);
    CHECK(loaded.is_folder == index.is_folder);
    CHECK(loaded.model == index.model);
    CHECK(loaded.model_fingerprint == index.model_fingerprint);
    CHECK(loaded.features.to_floats() == index.features.to_floats());
  }
}

TEST_CASE_METHOD(Fixture, "an index keeps paths that are not UTF-8") {
  FeatureIndex index = random_index(context, 2);
  index.source = "/photos/caf\xE9 %41";
  index.model = "/models/\xFF";
  index.names = {"\xE9.png", "b.png"};
  save_index(index, path);
  const FeatureIndex loaded = load_index(context, path);
  CHECK(loaded.source == index.source);
  CHECK(loaded.model == index.model);
  CHECK(loaded.names == index.names);
}

TEST_CASE_METHOD(Fixture, "an index is written where nothing, an empty file or an index is") {
  CHECK(may_become_index(folder / "missing"));
  CHECK(may_become_index(folder.write("empty", "")));
  CHECK_FALSE(may_become_index(folder.write("picture.png", "\x89PNG")));
  CHECK_FALSE(may_become_index(folder.path()));
  save_index(random_index(context, 2), path);
  CHECK(may_become_index(path));
}

TEST_CASE_METHOD(Fixture, "a place below zero is damage") {
  FeatureIndex index = random_index(context, 2);
  index.rows = {0, -1};
  save_index(index, path);
  CHECK_THROWS_WITH(load_index(context, path), Catch::Contains("negative"));
}

TEST_CASE_METHOD(Fixture, "features stored in bf16 are rounded and take half the room") {
  const FeatureIndex index = random_index(context, 500);
  save_index(index, path);
  const auto full = std::filesystem::file_size(path);
  save_index(index, path, DType::bf16);
  CHECK(full - std::filesystem::file_size(path) >= 500 * 10 * 2 - 64);
  const std::vector<float> exact = index.features.to_floats(),
                           rounded = load_index(context, path).features.to_floats();
  for (size_t i = 0; i < exact.size(); ++i) CHECK(rounded[i] == static_cast<float>(bfloat16(exact[i])));
}

TEST_CASE_METHOD(Fixture, "search gives the most similar rows, the best first") {
  const FeatureIndex index = random_index(context, 333);
  const Tensor query = random_units(context, 1);
  std::vector<std::pair<double, int64_t>> expected;
  for (int64_t row = 0; row < 333; ++row) {
    double dot = 0;
    for (int64_t c = 0; c < 10; ++c)
      dot += double{query.data<float>()[c]} * index.features.data<float>()[row * 10 + c];
    expected.emplace_back(-dot, row);
  }
  std::sort(expected.begin(), expected.end());
  const std::vector<Hit> hits = search_index(context, index, query, 12);
  REQUIRE(hits.size() == 12);
  for (size_t i = 0; i < hits.size(); ++i) {
    // Ten products of at most 1, in f32: 10 · 2^-24, and the norms' rounding.
    CHECK(hits[i].similarity == Approx(-expected[i].first).margin(2e-6));
  }
  CHECK(hits[0].row == expected[0].second);
  CHECK(search_index(context, index, query, 1000).size() == 333);
  CHECK_THROWS_AS(search_index(context, index, query, 0), InputError);
}

TEST_CASE_METHOD(Fixture, "a fingerprint tells weights and configurations apart") {
  Clip first(context, tiny_config()), second(context, tiny_config());
  randomise(first);
  std::copy_n(first.parameters().values().data<float>(), first.parameters().values().elements(),
              second.parameters().values().data<float>());
  CHECK(model_fingerprint(first) == model_fingerprint(second));
  *second.parameters().get("logit_scale").value.data<float>() += 1;
  CHECK(model_fingerprint(first) != model_fingerprint(second));
  ClipConfig other = tiny_config();
  other.quick_gelu = true;
  Clip third(context, other);
  std::copy_n(first.parameters().values().data<float>(), first.parameters().values().elements(),
              third.parameters().values().data<float>());
  CHECK(model_fingerprint(first) != model_fingerprint(third));
}

TEST_CASE_METHOD(Fixture, "files that are not an index, or a damaged one, are refused") {
  folder.write("text", "some words that are not an index at all");
  CHECK_THROWS_AS(load_index(context, folder / "text"), InputError);
  CHECK_THROWS_AS(load_index(context, folder / "missing"), InputError);

  Clip model(context, tiny_config());
  const std::vector<std::pair<std::string, TensorView>> weights = {
      {"logit_scale", model.parameters().get("logit_scale").value.view()}};
  write_safetensors(path, weights);
  CHECK_THROWS_WITH(load_index(context, path), Contains("expected an index"));

  FeatureIndex index = random_index(context, 3);
  index.names.pop_back();
  save_index(index, path);
  CHECK_THROWS_WITH(load_index(context, path), Contains("damaged"));

  index = random_index(context, 3);
  index.features.data<float>()[4] = std::numeric_limits<float>::quiet_NaN();
  save_index(index, path);
  CHECK_THROWS_WITH(load_index(context, path), Contains("finite"));

  save_index(random_index(context, 3), path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  CHECK_THROWS_AS(load_index(context, path), InputError);
}

}  // namespace
}  // namespace cuclip::test
