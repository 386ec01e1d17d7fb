// cuclip/cuclip_c.h: representations, readable files, classifiers and the building of indexes, as in
// cuclip/cuclip.h.
#include <cuclip/cuclip.h>
#include <cuclip/cuclip_c.h>

#include <catch2/catch.hpp>

#include "models/image/image_decode.h"
#include "tests/support/buffer.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

constexpr size_t kWidth = 10, kImageWidth = 16, kTextWidth = 24, kPositions = 7;  // of the tiny model

struct Fixture : ModelOnDisk {
  Fixture() {
    options.device = "cpu";
    options.threads = 2;
    options.log = [](void* user, const char* line) {
      static_cast<std::vector<std::string>*>(user)->emplace_back(line);
    };
    options.log_user = &log;
    REQUIRE(cuclip_clip_load(run.c_str(), &options, &clip) == CUCLIP_OK);
  }
  ~Fixture() { cuclip_clip_free(clip); }
  void check_failed(cuclip_status status, const std::string& why) const {
    CHECK(status == CUCLIP_INPUT_ERROR);
    CHECK_THAT(cuclip_last_error(), Contains(why));
  }

  std::vector<std::string> log;
  cuclip_options options = CUCLIP_OPTIONS_INIT;
  cuclip_clip* clip = nullptr;
  Clip same = Clip::load(run, {.threads = 2, .device = "cpu"});
};

TEST_CASE_METHOD(Fixture, "a model says what it is, and how wide what it computes is") {
  size_t length = 0, image = 0, text = 0, positions = 0;
  REQUIRE(cuclip_clip_description(clip, nullptr, 0, &length) == CUCLIP_OK);
  std::string description(length + 1, 'x');
  REQUIRE(cuclip_clip_description(clip, description.data(), description.size(), nullptr) == CUCLIP_OK);
  CHECK(description.c_str() == same.description());
  check_failed(cuclip_clip_description(clip, description.data(), 3, nullptr), "room for");
  REQUIRE(cuclip_clip_image_width(clip, &image) == CUCLIP_OK);
  REQUIRE(cuclip_clip_text_width(clip, &text) == CUCLIP_OK);
  REQUIRE(cuclip_clip_context_length(clip, &positions) == CUCLIP_OK);
  CHECK(image == kImageWidth);
  CHECK(text == kTextWidth);
  CHECK(positions == kPositions);
  check_failed(cuclip_clip_text_width(clip, nullptr), "width is NULL");
}

TEST_CASE_METHOD(Fixture, "representations and hidden states are those of the C++ interface") {
  const std::string path = picture(2);
  const char* files[] = {path.c_str()};
  const char* texts[] = {"a", "b c"};
  std::vector<float> image(kImageWidth), projected(kWidth), text(2 * kTextWidth),
      states(2 * kPositions * kTextWidth);
  REQUIRE(cuclip_represent_files(clip, "pooled", files, 1, image.data(), image.size()) == CUCLIP_OK);
  CHECK(image == same.represent_images({path}, "pooled").values);
  REQUIRE(cuclip_represent_files(clip, "projected", files, 1, projected.data(), kWidth) == CUCLIP_OK);
  CHECK(projected == same.represent_images({path}, "projected").values);
  const Image read = load_image(path);
  const cuclip_rgb view = {read.rgb.data(), static_cast<size_t>(read.width), static_cast<size_t>(read.height),
                           3 * static_cast<size_t>(read.width)};
  std::vector<float> of_view(kImageWidth);
  REQUIRE(cuclip_represent_pixels(clip, "pooled", &view, 1, of_view.data(), kImageWidth) == CUCLIP_OK);
  CHECK(of_view == image);
  REQUIRE(cuclip_represent_texts(clip, "pooled", texts, 2, text.data(), text.size()) == CUCLIP_OK);
  CHECK(text == same.represent_texts({"a", "b c"}, "pooled").values);
  REQUIRE(cuclip_hidden_states(clip, nullptr, texts, 2, states.data(), states.size()) == CUCLIP_OK);
  CHECK(states == same.hidden_states({"a", "b c"}).values);
  cuclip_hidden_states_options which = CUCLIP_HIDDEN_STATES_OPTIONS_INIT;
  which.layer = "penultimate";
  which.padding = "end";
  which.no_final_norm = 1;
  REQUIRE(cuclip_hidden_states(clip, &which, texts, 2, states.data(), states.size()) == CUCLIP_OK);
  CHECK(states ==
        same.hidden_states({"a", "b c"}, {.layer = "penultimate", .final_norm = false, .padding = "end"})
            .values);

  const std::vector<float> before = text;
  check_failed(cuclip_represent_texts(clip, "pooled", texts, 2, text.data(), kTextWidth), "2 x 24");
  check_failed(cuclip_represent_texts(clip, "wide", texts, 2, text.data(), 1), "unit, projected, pooled");
  check_failed(cuclip_represent_texts(clip, nullptr, texts, 2, text.data(), 1), "kind is NULL");
  which.no_final_norm = 2;
  check_failed(cuclip_hidden_states(clip, &which, texts, 2, states.data(), states.size()), "no_final_norm");
  which = CUCLIP_HIDDEN_STATES_OPTIONS_INIT;
  which.reserved = 1;
  check_failed(cuclip_hidden_states(clip, &which, texts, 2, states.data(), states.size()), "reserved");
  CHECK(text == before);
}

TEST_CASE_METHOD(Fixture, "rows of files that cannot be read are zeros, and marked") {
  const std::string good = picture(1), bad = folder.write("bad.png", "no picture");
  const char* files[] = {bad.c_str(), good.c_str(), "missing.png"};
  std::vector<float> features(3 * kWidth, 7.0f);
  uint8_t readable[3] = {7, 7, 7};
  REQUIRE(cuclip_encode_readable_files(clip, files, 3, features.data(), features.size(), readable) ==
          CUCLIP_OK);
  CHECK((readable[0] == 0 && readable[1] == 1 && readable[2] == 0));
  std::vector<float> expected(3 * kWidth);
  const Features alone = same.encode_images({good});
  std::copy(alone.values().begin(), alone.values().end(), expected.begin() + kWidth);
  CHECK(features == expected);
  REQUIRE(log.size() == 2);
  CHECK_THAT(log[1], Contains("missing.png"));
  check_failed(cuclip_encode_readable_files(clip, files, 3, features.data(), features.size(), nullptr),
               "readable is NULL");
}

TEST_CASE_METHOD(Fixture, "a classifier is made once and ranks files, pixels and features") {
  const char* labels[] = {"a", "b c", "dd"};
  const char* templates[] = {"x {}"};
  cuclip_classifier* classifier = nullptr;
  REQUIRE(cuclip_classifier_new(clip, labels, 3, templates, 1, &classifier) == CUCLIP_OK);
  const std::string path = picture(3);
  const std::vector<LabelProbability> expected = same.classify(path, {"a", "b c", "dd"}, {"x {}"});
  cuclip_label ranked[3];
  const auto check = [&] {
    for (size_t i = 0; i < 3; ++i) {
      CHECK(ranked[i].index == expected[i].index);
      CHECK(ranked[i].probability == expected[i].probability);
      CHECK(ranked[i].similarity == expected[i].similarity);
      ranked[i] = {};
    }
  };
  REQUIRE(cuclip_classifier_rank_file(classifier, path.c_str(), ranked, 3) == CUCLIP_OK);
  check();
  const Image read = load_image(path);
  const cuclip_rgb view = {read.rgb.data(), static_cast<size_t>(read.width), static_cast<size_t>(read.height),
                           3 * static_cast<size_t>(read.width)};
  REQUIRE(cuclip_classifier_rank_pixels(classifier, &view, ranked, 3) == CUCLIP_OK);
  check();
  const Features feature = same.encode_images({path});
  REQUIRE(cuclip_classifier_rank_feature(classifier, feature.values().data(), kWidth, ranked, 3) ==
          CUCLIP_OK);
  check();
  check_failed(cuclip_classifier_rank_file(classifier, path.c_str(), ranked, 2), "3 labels");
  check_failed(cuclip_classifier_rank_feature(classifier, feature.values().data(), 3, ranked, 3), "got 3");
  CHECK(cuclip_clip_dimensions(reinterpret_cast<cuclip_clip*>(classifier), nullptr) != CUCLIP_OK);
  REQUIRE(cuclip_classifier_free(classifier) == CUCLIP_OK);
  CHECK(cuclip_classifier_free(classifier) == CUCLIP_BAD_HANDLE);
  CHECK(cuclip_classifier_free(nullptr) == CUCLIP_OK);
  check_failed(cuclip_classifier_new(clip, labels, 0, nullptr, 0, &classifier), "expected labels");
  CHECK(classifier == nullptr);
}

struct Watcher {
  std::vector<std::string> passed_over;
  size_t done = 0, total = 0, steps = 0, most_steps = 1000;
};

TEST_CASE_METHOD(Fixture,
                 "building an index tells its progress, can be stopped, and goes on from an earlier one") {
  for (int i = 0; i < 70; ++i)
    folder.write("many/" + std::to_string(100 + i) + ".png", bmp_bytes(random_image(9, 9)));
  const std::string bad = folder.write("many/0.png", "no picture"), many = folder / "many";
  Watcher watcher{.passed_over = {}, .most_steps = 1};
  cuclip_index_options build = CUCLIP_INDEX_OPTIONS_INIT;
  build.user = &watcher;
  build.progress = [](void* user, size_t done, size_t total) {
    auto& seen = *static_cast<Watcher*>(user);
    seen.done = done;
    seen.total = total;
    return ++seen.steps < seen.most_steps ? 1 : 0;
  };
  build.passed_over = [](void* user, const char* file, const char* reason) {
    CHECK_THAT(reason, Contains(file));
    static_cast<Watcher*>(user)->passed_over.emplace_back(file);
  };
  cuclip_index *part = nullptr, *whole = nullptr;
  size_t size = 0, missing = 0;
  REQUIRE(cuclip_index_build(clip, many.c_str(), &build, &part) == CUCLIP_OK);
  CHECK(watcher.steps == 1);
  CHECK(watcher.total == 71);
  CHECK(watcher.passed_over == std::vector<std::string>{bad});
  REQUIRE(cuclip_index_missing(part, &missing) == CUCLIP_OK);
  REQUIRE(cuclip_index_size(part, &size) == CUCLIP_OK);
  CHECK(missing > 0);
  CHECK(size + missing == 70);
  watcher.most_steps = 1000;
  build.earlier = part;
  REQUIRE(cuclip_index_build(clip, many.c_str(), &build, &whole) == CUCLIP_OK);
  CHECK(watcher.done == watcher.total);
  REQUIRE(cuclip_index_missing(whole, &missing) == CUCLIP_OK);
  REQUIRE(cuclip_index_size(whole, &size) == CUCLIP_OK);
  CHECK(missing == 0);
  CHECK(size == 70);
  size_t found = 7;
  CHECK(cuclip_index_search_words(whole, "a", nullptr, 0, &found) == CUCLIP_OK);
  CHECK(found == 0);
  cuclip_index_free(part);
  CHECK(cuclip_index_build(clip, many.c_str(), &build, &part) == CUCLIP_BAD_HANDLE);
  cuclip_index_free(whole);
}

}  // namespace
}  // namespace cuclip::test
