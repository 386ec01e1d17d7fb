// labels: threads
// cuclip/cuclip_c.h: the results are those of cuclip/cuclip.h; whatever is wrong is a status and its reason.
#include <cuclip/cuclip.h>
#include <cuclip/cuclip_c.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cstring>
#include <thread>

#include "models/image/image_decode.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

constexpr size_t kWidth = 10;  // of the tiny model's features

struct Fixture : ModelOnDisk {
  Fixture() {
    options.device = "cpu";
    options.threads = 2;
    REQUIRE(cuclip_clip_load(run.c_str(), &options, &clip) == CUCLIP_OK);
    REQUIRE(cuclip_index_build(clip, pictures.c_str(), nullptr, &index) == CUCLIP_OK);
  }
  ~Fixture() {
    cuclip_index_free(index);
    cuclip_clip_free(clip);
  }
  void check_failed(cuclip_status status, cuclip_status expected, const std::string& why) const {
    INFO(cuclip_last_error());
    CHECK(status == expected);
    CHECK_THAT(cuclip_last_error(), Contains(why));
  }

  cuclip_options options = CUCLIP_OPTIONS_INIT;
  cuclip_clip* clip = nullptr;
  cuclip_index* index = nullptr;
  Clip same = Clip::load(run, {.threads = 2, .device = "cpu"});
};

std::vector<float> values(const Features& features) {
  return {features.values().begin(), features.values().end()};
}

TEST_CASE_METHOD(Fixture, "features, similarities and labels are those of the C++ interface") {
  size_t width = 0;
  float scale = 0;
  REQUIRE(cuclip_clip_dimensions(clip, &width) == CUCLIP_OK);
  CHECK(width == kWidth);
  REQUIRE(cuclip_clip_logit_scale(clip, &scale) == CUCLIP_OK);
  CHECK(scale == same.logit_scale());

  const std::vector<std::filesystem::path> paths = {picture(1), picture(5)};
  const char* files[] = {paths[0].c_str(), paths[1].c_str()};
  const std::vector<std::string> words = {"a", "b c", "dd"};
  const char* texts[] = {"a", "b c", "dd"};
  std::vector<float> of_files(2 * kWidth), of_texts(3 * kWidth), similar(6);
  REQUIRE(cuclip_encode_files(clip, files, 2, of_files.data(), of_files.size()) == CUCLIP_OK);
  CHECK(of_files == values(same.encode_images(paths)));
  REQUIRE(cuclip_encode_texts(clip, texts, 3, of_texts.data(), of_texts.size()) == CUCLIP_OK);
  CHECK(of_texts == values(same.encode_texts(words)));
  REQUIRE(cuclip_similarity(clip, of_files.data(), 2, of_texts.data(), 3, similar.data(), 6) == CUCLIP_OK);
  CHECK(similar == same.similarity(same.encode_images(paths), same.encode_texts(words)));
  CHECK(cuclip_encode_texts(clip, nullptr, 0, nullptr, 0) == CUCLIP_OK);

  const Image image = load_image(paths[1]);
  const cuclip_rgb pixels = {image.rgb.data(), static_cast<size_t>(image.width),
                             static_cast<size_t>(image.height), static_cast<size_t>(3 * image.width)};
  std::vector<float> of_pixels(kWidth);
  REQUIRE(cuclip_encode_pixels(clip, &pixels, 1, of_pixels.data(), kWidth) == CUCLIP_OK);
  CHECK(of_pixels == values(same.encode_images(std::vector{paths[1]})));

  const char* templates[] = {"x {}"};
  const std::vector<std::string> one_template = {"x {}"};
  const std::vector<LabelProbability> expected = same.classify(paths[1], words, one_template);
  cuclip_label ranked[3], of_view[3];
  REQUIRE(cuclip_classify_file(clip, files[1], texts, 3, templates, 1, ranked) == CUCLIP_OK);
  REQUIRE(cuclip_classify_pixels(clip, &pixels, texts, 3, templates, 1, of_view) == CUCLIP_OK);
  for (size_t i = 0; i < 3; ++i) {
    CHECK(ranked[i].index == expected[i].index);
    CHECK(ranked[i].probability == expected[i].probability);
    CHECK(ranked[i].similarity == expected[i].similarity);
    CHECK(of_view[i].probability == expected[i].probability);
  }
}

TEST_CASE_METHOD(Fixture, "an index is searched, named, saved and loaded") {
  size_t size = 0, found = 0, length = 0;
  REQUIRE(cuclip_index_size(index, &size) == CUCLIP_OK);
  CHECK(size == 8);
  const std::vector<SearchHit> expected = Index::build(same, pictures).search("a -b", 3);
  cuclip_hit hits[20];
  REQUIRE(cuclip_index_search_words(index, "a -b", hits, 3, &found) == CUCLIP_OK);
  REQUIRE(found == 3);
  for (size_t i = 0; i < 3; ++i) {
    char name[1000];
    REQUIRE(cuclip_index_name(index, hits[i].row, name, sizeof(name), &length) == CUCLIP_OK);
    CHECK(name == expected[i].name);
    CHECK(length == expected[i].name.size());
    CHECK(hits[i].similarity == expected[i].similarity);
  }
  const std::string file = folder / "p.cuclip-index";
  REQUIRE(cuclip_index_save(index, file.c_str()) == CUCLIP_OK);
  cuclip_index* loaded = nullptr;
  REQUIRE(cuclip_index_load(clip, file.c_str(), &loaded) == CUCLIP_OK);
  std::vector<float> feature(kWidth);
  const std::string path = picture(2);
  const char* files[] = {path.c_str()};
  REQUIRE(cuclip_encode_files(clip, files, 1, feature.data(), kWidth) == CUCLIP_OK);
  REQUIRE(cuclip_index_search_feature(loaded, feature.data(), kWidth, hits, 20, &found) == CUCLIP_OK);
  CHECK(found == 8);
  CHECK(cuclip_index_free(loaded) == CUCLIP_OK);
  // A name that does not fit is measured, and not cut.
  char small[4] = "abc";
  check_failed(cuclip_index_name(index, 0, small, sizeof(small), &length), CUCLIP_INPUT_ERROR, "room for");
  CHECK(std::string(small) == "abc");
  REQUIRE(cuclip_index_name(index, 0, nullptr, 0, &length) == CUCLIP_OK);
  std::string exact(length + 1, 'x');
  CHECK(cuclip_index_name(index, 0, exact.data(), exact.size(), nullptr) == CUCLIP_OK);
  CHECK(exact.c_str() == Index::build(same, pictures).name(0));
}

TEST_CASE_METHOD(Fixture, "handles that are NULL, foreign, of another kind or freed are refused") {
  size_t size = 77;
  int foreign = 0;
  const auto refused = [&](const void* handle, const std::string& why) {
    check_failed(cuclip_clip_dimensions(static_cast<const cuclip_clip*>(handle), &size), CUCLIP_BAD_HANDLE,
                 why);
  };
  refused(nullptr, "clip is NULL");
  refused(&foreign, "never was one");
  refused(index, "something else");
  check_failed(cuclip_index_size(reinterpret_cast<cuclip_index*>(clip), &size), CUCLIP_BAD_HANDLE, "index");
  check_failed(cuclip_index_free(reinterpret_cast<cuclip_index*>(clip)), CUCLIP_BAD_HANDLE, "index");
  CHECK(cuclip_clip_free(nullptr) == CUCLIP_OK);
  cuclip_clip* const freed = clip;
  REQUIRE(cuclip_clip_free(freed) == CUCLIP_OK);
  refused(freed, "it was freed");
  check_failed(cuclip_clip_free(freed), CUCLIP_BAD_HANDLE, "it was freed");
  // Its number is not used again, and its index keeps what it needs.
  REQUIRE(cuclip_clip_load(run.c_str(), &options, &clip) == CUCLIP_OK);
  CHECK(clip != freed);
  refused(freed, "it was freed");
  cuclip_hit hit;
  CHECK(cuclip_index_search_words(index, "a", &hit, 1, &size) == CUCLIP_OK);
  CHECK(size == 1);
}

TEST_CASE_METHOD(Fixture, "wrong arguments are named, and nothing is written") {
  std::vector<float> out(2 * kWidth, 7.0f);
  const char* texts[] = {"a", nullptr, "\xc3\x28"};
  const auto encode = [&](const char* const* from, size_t count, float* to, size_t size) {
    return cuclip_encode_texts(clip, from, count, to, size);
  };
  check_failed(encode(texts, 2, out.data(), out.size()), CUCLIP_INPUT_ERROR, "texts[1] is NULL");
  check_failed(encode(texts + 2, 1, out.data(), kWidth), CUCLIP_INPUT_ERROR, "UTF-8");
  check_failed(encode(texts, 1, out.data(), out.size()), CUCLIP_INPUT_ERROR, "1 x 10 values, got one of 20");
  check_failed(encode(texts, SIZE_MAX / 5, out.data(), out.size()), CUCLIP_INPUT_ERROR, "features");
  check_failed(encode(nullptr, 1, out.data(), kWidth), CUCLIP_INPUT_ERROR, "texts is NULL");
  check_failed(encode(texts, 1, nullptr, kWidth), CUCLIP_INPUT_ERROR, "features is NULL");
  CHECK(out == std::vector<float>(2 * kWidth, 7.0f));
  const cuclip_rgb none = {nullptr, 2, 2, 6};
  check_failed(cuclip_encode_pixels(clip, &none, 1, out.data(), kWidth), CUCLIP_INPUT_ERROR, "null");
  check_failed(cuclip_similarity(clip, out.data(), 1, out.data(), 1, out.data(), 1), CUCLIP_INPUT_ERROR,
               "length");
  cuclip_label ranked;
  check_failed(cuclip_classify_file(clip, "missing.png", texts, 1, nullptr, 0, &ranked), CUCLIP_INPUT_ERROR,
               "missing.png");
  check_failed(cuclip_classify_file(clip, picture(0).c_str(), texts, 1, texts, 1, &ranked),
               CUCLIP_INPUT_ERROR, "template 0");
  cuclip_hit hit;
  size_t found = 77;
  check_failed(cuclip_index_search_words(index, nullptr, &hit, 1, &found), CUCLIP_INPUT_ERROR,
               "words is NULL");
  check_failed(cuclip_index_search_words(index, "a", nullptr, 1, &found), CUCLIP_INPUT_ERROR, "hits is NULL");
  check_failed(cuclip_index_search_words(index, "a", &hit, 1, nullptr), CUCLIP_INPUT_ERROR, "found is NULL");
  check_failed(cuclip_index_search_feature(index, out.data(), 3, &hit, 1, &found), CUCLIP_INPUT_ERROR,
               "10 dimensions, got 3");
  check_failed(cuclip_index_save(index, picture(0).c_str()), CUCLIP_INPUT_ERROR, "expected an index");
  check_failed(cuclip_index_save(index, (folder / "no/p.index").c_str()), CUCLIP_ERROR, "p.index");
  CHECK(found == 77);
  cuclip_index* none_built = index;
  check_failed(cuclip_index_build(clip, (folder / "no").c_str(), nullptr, &none_built), CUCLIP_INPUT_ERROR,
               "no");
  CHECK(none_built == nullptr);
}

TEST_CASE_METHOD(Fixture, "options grow: what a newer program sets is refused, what it leaves alone is not") {
  struct Newer {
    cuclip_options known;
    int64_t unknown[3];
  } newer = {CUCLIP_OPTIONS_INIT, {0, 0, 0}};
  newer.known.device = "cpu";
  newer.known.size = sizeof(newer);
  cuclip_clip* loaded = nullptr;
  REQUIRE(cuclip_clip_load(run.c_str(), &newer.known, &loaded) == CUCLIP_OK);
  cuclip_clip_free(loaded);
  const auto refused = [&](const cuclip_options& wrong, const std::string& why) {
    loaded = clip;
    check_failed(cuclip_clip_load(run.c_str(), &wrong, &loaded), CUCLIP_INPUT_ERROR, why);
    CHECK(loaded == nullptr);
  };
  newer.unknown[2] = 1;
  refused(newer.known, "does not know");
  cuclip_options wrong = options;
  for (const size_t size : {size_t{0}, sizeof(cuclip_options) - 1, size_t{4}, SIZE_MAX, SIZE_MAX - 7}) {
    wrong.size = size;
    refused(wrong, "sizeof(cuclip_options), 64 in this version, got " + std::to_string(size));
  }
  wrong = options;
  wrong.batch_invariant = 2;
  refused(wrong, "batch_invariant");
  wrong = options;
  wrong.precision = "\xff";
  refused(wrong, "\\xff");  // messages are UTF-8
  check_failed(cuclip_clip_load(nullptr, &options, &loaded), CUCLIP_INPUT_ERROR, "model is NULL");
  check_failed(cuclip_clip_load(run.c_str(), &options, nullptr), CUCLIP_INPUT_ERROR, "clip is NULL");
}

TEST_CASE_METHOD(Fixture,
                 "what an older program's shorter options lack has its default, whatever lies behind") {
  cuclip_options older = CUCLIP_OPTIONS_INIT;
  older.size = offsetof(cuclip_options, threads);  // as if these came later
  older.device = "cpu";
  older.threads = -1;
  older.batch_invariant = 7;
  older.log = reinterpret_cast<void (*)(void*, const char*)>(1);
  cuclip_clip* loaded = nullptr;
  CHECK(cuclip_clip_load("cuclip-tiny", &older, &loaded) == CUCLIP_OK);  // has something to log
  CHECK(cuclip_clip_free(loaded) == CUCLIP_OK);
  older.size = sizeof(older.size);  // all of it
  older.precision = reinterpret_cast<const char*>(1);
  CHECK(cuclip_clip_load("cuclip-tiny", &older, &loaded) == CUCLIP_OK);
  CHECK(cuclip_clip_free(loaded) == CUCLIP_OK);
  older.size = 64;
  older.precision = nullptr;
  check_failed(cuclip_clip_load("cuclip-tiny", &older, &loaded), CUCLIP_INPUT_ERROR, "batch_invariant");
}

TEST_CASE_METHOD(Fixture, "the log gets its pointer and lines of UTF-8; an error belongs to its thread") {
  std::string lines;
  options.log = [](void* user, const char* line) { *static_cast<std::string*>(user) += line; };
  options.log_user = &lines;
  cuclip_clip* loaded = nullptr;
  REQUIRE(cuclip_clip_load("cuclip-tiny", &options, &loaded) == CUCLIP_OK);
  CHECK_THAT(lines, Contains("untrained"));
  cuclip_clip_free(loaded);
  check_failed(cuclip_clip_load("", &options, &loaded), CUCLIP_INPUT_ERROR, "not named");
  const std::string here = cuclip_last_error();
  std::string there = "not asked";
  std::thread([&] { there = cuclip_last_error(); }).join();
  CHECK(there.empty());
  CHECK(cuclip_last_error() == here);
  CHECK(std::string(cuclip_version()) == version());
}

TEST_CASE_METHOD(Fixture, "of threads that free one handle, while others use it, one does") {
  constexpr size_t kThreads = 4;
  std::vector<cuclip_status> freed(kThreads), used(kThreads);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      const char* texts[] = {"a b"};
      std::vector<float> out(kWidth);
      for (int round = 0; round < 5; ++round)
        used[i] = cuclip_encode_texts(clip, texts, 1, out.data(), kWidth);
      freed[i] = cuclip_clip_free(clip);
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(std::count(freed.begin(), freed.end(), CUCLIP_OK) == 1);
  CHECK(std::count(freed.begin(), freed.end(), CUCLIP_BAD_HANDLE) == kThreads - 1);
  for (const cuclip_status status : used) CHECK((status == CUCLIP_OK || status == CUCLIP_BAD_HANDLE));
}

}  // namespace
}  // namespace cuclip::test
