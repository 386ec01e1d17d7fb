#include "models/inference/feature_index.h"

#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <map>

#include "models/files/safetensors.h"
#include "models/inference/folder_indexer.h"
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
    // Numbers that have something in every byte, and the smallest there is.
    if (index.is_folder)
      index.files.push_back({.stamp = {.bytes = int64_t{0x0123456789abcdef} + i, .mtime_ns = i % 3 - 1},
                             .xxh3 = 0xfedcba9876543210 + static_cast<uint64_t>(i)});
  }
  if (index.is_folder) index.files.front().stamp.mtime_ns = kNoTime;
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
    CHECK(loaded.files == index.files);
    CHECK(loaded.stored == DType::f32);
    CHECK(loaded.precision.empty());
    CHECK_FALSE(loaded.batch_invariant);
    CHECK(loaded.missing == 0);
  }
}

TEST_CASE_METHOD(Fixture,
                 "an unfinished index says how many pictures are missing, and all say how they were made") {
  FeatureIndex index = random_index(context, 4);
  index.missing = 12345678901;
  index.precision = "bf16";
  index.stored = DType::bf16;
  index.batch_invariant = true;
  save_index(index, path);
  const FeatureIndex loaded = load_index(context, path);
  CHECK(loaded.batch_invariant);
  CHECK(loaded.missing == 12345678901);
  CHECK(loaded.precision == "bf16");
  CHECK(loaded.stored == DType::bf16);
}

using Metadata = std::map<std::string, std::string>;

// What cuclip wrote before there was format 2, and what else is asked for.
void save_as_format_1(const FeatureIndex& index, const std::filesystem::path& path, const Metadata& more = {},
                      const Shape& files = {}) {
  std::string names;
  for (const std::string& name : index.names) names.append(name.c_str(), name.size() + 1);
  std::vector<int32_t> rows(index.rows.begin(), index.rows.end());
  std::vector<uint8_t> numbers(static_cast<size_t>(files.elements()));
  std::vector<std::pair<std::string, TensorView>> tensors = {
      {"features", index.features.view()},
      {"names", TensorView(names.data(), DType::u8, {std::ssize(names)})},
      {"rows", TensorView(rows.data(), DType::i32, {std::ssize(rows)})}};
  if (files.rank() > 0) tensors.emplace_back("files", TensorView(numbers.data(), DType::u8, files));
  Metadata metadata = more;
  metadata.merge(Metadata{{"format", "cuclip-index 1"},
                          {"kind", index.is_folder ? "folder" : "dataset"},
                          {"model_fingerprint", index.model_fingerprint},
                          {"source", index.source},
                          {"model", index.model}});
  write_safetensors(path, tensors, metadata);
}

TEST_CASE_METHOD(Fixture, "an index of format 1 loads without what it does not say") {
  for (const int64_t rows : {3, 4}) {
    const FeatureIndex index = random_index(context, rows);
    save_as_format_1(index, path);
    CHECK(may_become_index(path));
    const FeatureIndex loaded = load_index(context, path);
    CHECK(loaded.names == index.names);
    CHECK(loaded.rows == index.rows);
    CHECK(loaded.features.to_floats() == index.features.to_floats());
    CHECK(loaded.files.empty());
    CHECK(loaded.missing == 0);
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

TEST_CASE_METHOD(Fixture, "features that are not of length 1 are refused, with the row") {
  for (const float factor : {0.0f, 0.5f, 1.02f}) {
    FeatureIndex index = random_index(context, 3);
    for (int64_t i = 20; i < 30; ++i) index.features.data<float>()[i] *= factor;
    save_index(index, path);
    CHECK_THROWS_WITH(load_index(context, path), Contains("of length 1, that of row 2 has length"));
  }
}

TEST_CASE_METHOD(Fixture, "features stored in bf16 are rounded and take half the room") {
  const FeatureIndex index = random_index(context, 500);
  save_index(index, path);
  const auto full = std::filesystem::file_size(path);
  FeatureIndex low = index;
  low.stored = DType::bf16;
  save_index(low, path);
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
  FeatureIndex kept = index;
  keep_norms(context, kept);
  const std::vector<Hit> again = search_index(context, kept, query, 12);
  for (size_t i = 0; i < hits.size(); ++i) {
    CHECK(again[i].row == hits[i].row);
    CHECK(again[i].similarity == hits[i].similarity);
  }
  CHECK(search_index(context, index, query, 1000).size() == 333);
  CHECK(search_index(context, index, query, 0).empty());
  CHECK_THROWS_WITH(search_index(context, index, query, -1), Catch::Contains("-1"));
}

TEST_CASE_METHOD(Fixture, "a fingerprint tells weights and configurations apart") {
  ClipModel first(context, tiny_config()), second(context, tiny_config());
  randomise(first);
  std::copy_n(first.parameters().values().data<float>(), first.parameters().values().elements(),
              second.parameters().values().data<float>());
  CHECK(first.fingerprint() == second.fingerprint());
  *second.parameters().get("logit_scale").value.data<float>() += 1;
  CHECK(first.fingerprint() != second.fingerprint());
  ClipConfig other = tiny_config();
  other.quick_gelu = true;
  ClipModel third(context, other);
  std::copy_n(first.parameters().values().data<float>(), first.parameters().values().elements(),
              third.parameters().values().data<float>());
  CHECK(first.fingerprint() != third.fingerprint());
}

TEST_CASE_METHOD(Fixture,
                 "the fingerprint of fixed weights is computed once, for all models that share them") {
  ClipModel model(context, tiny_config());
  randomise(model);
  const auto change = [&] { *model.parameters().get("logit_scale").value.data<float>() += 1; };
  const std::string before = model.fingerprint();
  change();
  CHECK(model.fingerprint() != before);
  model.fix_weights();
  const std::string fixed = model.fingerprint();
  change();  // against the promise: a second reading of the weights would show
  const ClipModel sharing(context, model);
  CHECK(model.fingerprint() == fixed);
  CHECK(sharing.fingerprint() == fixed);
}

TEST_CASE_METHOD(Fixture, "what format 2 adds is refused where it is damaged, and a newer format always") {
  const FeatureIndex index = random_index(context, 4);
  const Metadata good = {{"format", "cuclip-index 2"}, {"precision", "fp32"}};
  save_as_format_1(index, path, good, {4, 24});
  CHECK(load_index(context, path).files == std::vector<IndexedFile>(4));
  for (const Shape& shape : {Shape{3, 24}, {4, 23}, {96}, {4, 24, 1}}) {
    INFO(shape.to_string());
    save_as_format_1(index, path, good, shape);
    CHECK_THROWS_WITH(load_index(context, path), Contains("\"files\""));
  }
  for (const char* missing : {"0", "-3", "x", "1x", " 1", "", "9223372036854775808"}) {
    INFO(missing);
    Metadata bad = good;
    bad["missing"] = missing;
    save_as_format_1(index, path, bad, {4, 24});
    CHECK_THROWS_WITH(load_index(context, path), Contains("missing"));
  }
  save_as_format_1(index, path, {{"format", "cuclip-index 2"}}, {4, 24});
  CHECK_THROWS_WITH(load_index(context, path), Contains("\"precision\""));
  save_as_format_1(index, path, {{"format", "cuclip-index 3"}, {"precision", "fp32"}}, {4, 24});
  CHECK_THROWS_WITH(load_index(context, path), Contains("another version"));
  CHECK(may_become_index(path));
}

TEST_CASE_METHOD(Fixture, "files that are not an index, or a damaged one, are refused") {
  folder.write("text", "some words that are not an index at all");
  CHECK_THROWS_AS(load_index(context, folder / "text"), InputError);
  CHECK_THROWS_AS(load_index(context, folder / "missing"), InputError);

  ClipModel model(context, tiny_config());
  const std::vector<std::pair<std::string, TensorView>> weights = {
      {"logit_scale", model.parameters().get("logit_scale").value.view()}};
  write_safetensors(path, weights);
  CHECK_THROWS_WITH(load_index(context, path), Contains("expected an index"));

  FeatureIndex index = random_index(context, 3);
  index.names.pop_back();
  save_index(index, path);
  CHECK_THROWS_WITH(load_index(context, path), Contains("damaged"));
  index = random_index(context, 4);
  index.files.pop_back();
  CHECK_THROWS_WITH(save_index(index, path), Contains("4 names and 3 files"));

  index = random_index(context, 3);
  index.features = Tensor::empty(context, {3, 0}, DType::f32);
  save_index(index, path);
  CHECK_THROWS_WITH(load_index(context, path), Contains("no elements") && Contains("damaged"));

  index = random_index(context, 3);
  index.features.data<float>()[4] = std::numeric_limits<float>::quiet_NaN();
  save_index(index, path);
  CHECK_THROWS_WITH(load_index(context, path), Contains("finite"));

  save_index(random_index(context, 3), path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  CHECK_THROWS_AS(load_index(context, path), InputError);
}

TEST_CASE("an index is reused only for what it was made for") {
  Context context(1);
  FeatureIndex made;
  made.features = random_units(context, 1);
  made.files = {{.stamp = {.bytes = 9, .mtime_ns = 7}, .xxh3 = 5}};
  made.precision = "fp32";
  const auto why = [&](const auto& change) {
    FeatureIndex wanted = made;
    wanted.source = "/elsewhere";
    change(wanted);
    return why_not_reusable(made, wanted, 10);
  };
  CHECK(why([](FeatureIndex&) {}).empty());
  CHECK_THAT(why([](FeatureIndex& x) { x.model_fingerprint = "0"; }), Contains("other weights"));
  CHECK_THAT(why([](FeatureIndex& x) { x.precision = "bf16"; }), Contains("precision"));
  CHECK_THAT(why([](FeatureIndex& x) { x.stored = DType::bf16; }), Contains("stores fp32, not bf16"));
  CHECK_THAT(why([](FeatureIndex& x) { x.is_folder = false; }), Contains("of a folder"));
  CHECK_THAT(why([](FeatureIndex& x) { x.batch_invariant = true; }),
             Contains("not loaded to be batch-invariant"));
  CHECK_THAT(why_not_reusable(made, made, 12), Contains("damaged: its features have 10 elements, not 12"));
  made.batch_invariant = true;
  CHECK(why([](FeatureIndex& x) { x.batch_invariant = false; }).empty());
  made.files.clear();
  CHECK_THAT(why([](FeatureIndex&) {}), Contains("earlier cuclip"));
}

}  // namespace
}  // namespace cuclip::test
