// cuclip/cuclip.h: an Index finds what `cuclip search` finds, in the same files.
#include <cuclip/cuclip.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include "core/file_io.h"
#include "models/inference/feature_index.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Catch::StartsWith;
using Strings = std::vector<std::string>;

struct Fixture : ModelOnDisk {
  LoadOptions options() {
    return {.threads = 2, .device = "cpu", .log = [this](std::string_view line) { log.emplace_back(line); }};
  }
  nlohmann::json search(const std::string& words) const {
    return cuclip_json({"search", file, words, "--top", "5", "--device", "cpu", "--threads", "2"})["hits"];
  }
  static void check_same(const std::vector<SearchHit>& hits, const nlohmann::json& expected) {
    REQUIRE(hits.size() == expected.size());
    for (size_t i = 0; i < hits.size(); ++i) {
      CHECK(hits[i].name == expected[i]["path"]);
      CHECK(hits[i].similarity == expected[i]["similarity"].get<float>());
    }
  }

  Strings log;
  Clip clip = Clip::load(run, options());
  std::string file = folder / "p.cuclip-index";
};

TEST_CASE_METHOD(Fixture, "an index that is built and saved is the one that the command line searches") {
  const Index built = Index::build(clip, pictures);
  CHECK(built.size() == 8);
  built.save(file);
  for (const std::string words : {"a b", "a \"b c\" -e", "\"-\" d"}) {
    check_same(built.search(words, 5), search(words));
    check_same(Index::load(clip, file).search(words, 5), search(words));
  }
  CHECK(built.search("a", 1000).size() == 8);
  CHECK(log.empty());
}

TEST_CASE_METHOD(Fixture, "an index of the command line is loaded, and a picture finds itself") {
  REQUIRE(cuclip({"index", pictures, "--out", file, "--device", "cpu"}).exit_code == 0);
  const Index index = Index::load(clip, file);
  const std::vector<std::filesystem::path> one = {picture(4)};
  const Features feature = clip.encode_images(one);
  const std::vector<SearchHit> hits = index.search(feature.row(0), 3);
  REQUIRE(hits.size() == 3);
  CHECK(hits[0].name == picture(4));
  CHECK(hits[0].similarity == Approx(1).margin(1e-5));
  CHECK(index.name(hits[0].row) == picture(4));
  CHECK_THROWS_WITH(index.name(8), Contains("below 8"));
}

TEST_CASE_METHOD(Fixture, "only what is new is encoded where an earlier index is given") {
  const Index earlier = Index::build(clip, pictures);
  folder.write("pictures/new.png", bmp_bytes(random_image(14, 15)));
  const Index index = Index::build(clip, pictures, {.earlier = &earlier});
  CHECK(index.size() == 9);
  CHECK(log.empty());
  // Another model's is no help, and the log says so.
  const ModelOnDisk other;
  const Index wrong = Index::build(Clip::load(other.run, options()), other.pictures);
  CHECK(Index::build(clip, pictures, {.earlier = &wrong}).size() == 9);
  REQUIRE(log.size() == 1);
  CHECK_THAT(log[0], Contains("was made with other weights") && Contains("encoded anew"));
}

TEST_CASE_METHOD(Fixture,
                 "of an earlier index all is used, whatever it stores and however its folder is spelt") {
  // Older than the time during which files may still change unseen.
  auto time = std::filesystem::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(pictures))
    std::filesystem::last_write_time(entry, time -= std::chrono::minutes(1));
  Index::build(clip, pictures).save(file);
  Context context{1};
  FeatureIndex low = load_index(context, file);
  low.stored = DType::bf16;
  save_index(low, file);
  const Index earlier = Index::load(clip, file);
  size_t read = 0;
  const auto progress = [&](size_t, size_t total) {
    read = total;
    return true;
  };
  for (const char* spelling : {"", "/", "/.", "//"}) {
    const Index again = Index::build(clip, pictures + spelling, {.earlier = &earlier, .progress = progress});
    CHECK(again.size() == 8);
    again.save(file);
    CHECK(load_index(context, file).stored == DType::bf16);
  }
  CHECK(read == 0);
  CHECK(log.empty());
}

TEST_CASE_METHOD(Fixture, "a batch-invariant model takes no rows that another model made") {
  const Index plain = Index::build(clip, pictures);
  LoadOptions invariant = options();
  invariant.batch_invariant = true;
  const Clip exact = Clip::load(run, invariant);
  const Index index = Index::build(exact, pictures, {.earlier = &plain});
  REQUIRE(log.size() == 1);
  CHECK_THAT(log[0], Contains("not loaded to be batch-invariant"));
  for (size_t i = 0; i < index.size(); ++i) {
    const Features alone = exact.encode_images({index.name(i)});
    CHECK(index.search(alone.row(0), 1).at(0).row == i);
  }
  CHECK(Index::build(exact, pictures, {.earlier = &index}).size() == 8);
  CHECK(log.size() == 1);
}

TEST_CASE_METHOD(Fixture,
                 "unreadable pictures are passed over with a line in the log; a folder of none is refused") {
  folder.write("pictures/bad.png", "no picture");
  CHECK(Index::build(clip, pictures).size() == 8);
  REQUIRE(log.size() == 1);
  CHECK_THAT(log[0], Contains("passed over") && Contains("bad.png"));
  folder.write("worse/bad.png", "no picture");
  CHECK_THROWS_WITH(Index::build(clip, folder / "worse"), StartsWith(folder / "worse/bad.png"));
  CHECK_THROWS_WITH(Index::build(clip, folder / "missing"), Contains("missing"));
}

TEST_CASE_METHOD(Fixture, "building tells its progress and what it passes over, as it goes") {
  for (int i = 0; i < 100; ++i)
    folder.write("many/" + std::to_string(i) + ".png", bmp_bytes(random_image(9, 9)));
  folder.write("many/bad.png", "no picture");
  std::vector<std::pair<size_t, size_t>> steps;
  std::vector<std::filesystem::path> passed_over;
  const auto thread = std::this_thread::get_id();
  const IndexOptions options = {.progress =
                                    [&](size_t done, size_t total) {
                                      CHECK(std::this_thread::get_id() == thread);
                                      steps.emplace_back(done, total);
                                      return true;
                                    },
                                .passed_over =
                                    [&](const std::filesystem::path& file, std::string_view reason) {
                                      CHECK_THAT(std::string(reason), Contains("bad.png"));
                                      CHECK(steps.size() < 2);  // not when all is done
                                      passed_over.push_back(file);
                                    }};
  const Index index = Index::build(clip, folder / "many", options);
  CHECK(index.missing() == 0);
  REQUIRE(steps.size() == 2);
  CHECK(steps[0].first < 101);
  CHECK(steps[1] == std::pair<size_t, size_t>{101, 101});
  CHECK(passed_over == std::vector<std::filesystem::path>{folder / "many/bad.png"});
  REQUIRE(log.size() == 1);
  const IndexOptions failing = {.progress = [](size_t, size_t) -> bool { throw Error("enough"); }};
  CHECK_THROWS_WITH(Index::build(clip, folder / "many", failing), "enough");
  // What was passed over is told even where the work then fails.
  passed_over.clear();
  folder.write("worse/bad.png", "no picture");
  CHECK_THROWS_AS(Index::build(clip, folder / "worse",
                               {.passed_over = [&](const auto& file, auto) { passed_over.push_back(file); }}),
                  InputError);
  CHECK(passed_over.size() == 1);
}

TEST_CASE_METHOD(Fixture,
                 "an index that was stopped is used as far as it has come, and built on from there") {
  for (int i = 0; i < 100; ++i)
    folder.write("many/" + std::to_string(i) + ".png", bmp_bytes(random_image(9, 9)));
  const IndexOptions stop = {.progress = [](size_t, size_t) { return false; }};
  const Index part = Index::build(clip, folder / "many", stop);
  CHECK(part.size() == 64);
  CHECK(part.missing() == 36);
  CHECK(part.search("a", 100).size() == 64);
  part.save(file);
  const Index loaded = Index::load(clip, file);
  CHECK(loaded.missing() == 36);
  REQUIRE(log.size() == 1);
  CHECK_THAT(log[0], Contains("unfinished"));
  size_t asked = 0;
  const Index whole = Index::build(clip, folder / "many",
                                   {.earlier = &loaded, .progress = [&](size_t, size_t) { return ++asked; }});
  CHECK(whole.size() == 100);
  CHECK(whole.missing() == 0);
  // One without a picture finds nothing, and is not saved.
  for (int i = 0; i < 65; ++i) folder.write("bad/" + std::to_string(i) + ".png", "no picture");
  const Index nothing = Index::build(clip, folder / "bad", stop);
  CHECK(nothing.size() == 0);
  CHECK(nothing.search("a", 3).empty());
  CHECK_THROWS_WITH(nothing.save(folder / "nothing.cuclip-index"), Contains("no picture yet"));
}

TEST_CASE_METHOD(Fixture, "what is not an index of this model, and what is not a query, is refused") {
  const Index index = Index::build(clip, pictures);
  index.save(file);
  index.save(file);  // over itself
  const ModelOnDisk other;
  CHECK_THROWS_WITH(Index::load(Clip::load(other.run, options()), file), Contains("different weights"));
  CHECK_THROWS_AS(Index::load(clip, picture(0)), InputError);
  CHECK_THROWS_AS(Index::load(clip, folder / "missing"), InputError);
  const std::string before = read_file(picture(0));
  CHECK_THROWS_WITH(index.save(picture(0)), Contains("expected an index to replace"));
  CHECK(read_file(picture(0)) == before);
  CHECK_THROWS_AS(index.save(folder.path()), InputError);
  CHECK_THROWS_AS(index.save(folder / "missing/p.cuclip-index"), Error);

  CHECK_THROWS_WITH(index.search("", 3), Contains("must not be empty"));
  CHECK_THROWS_WITH(index.search("a \"b", 3), Contains("never closed"));
  CHECK_THROWS_WITH(index.search("\xff", 3), Contains("UTF-8"));
  CHECK(index.search("a", 0).empty());
  CHECK(index.search(std::vector<float>(10, std::sqrt(0.1f)), 0).empty());
  CHECK_THROWS_WITH(index.search("a \"b", 0), Contains("never closed"));
  CHECK_THROWS_WITH(index.search(std::vector<float>{1, 0}, 3), Contains("10 dimensions"));
  CHECK_THROWS_AS(index.search(std::vector<float>(10, 1.0f), 3), InputError);
  CHECK_THROWS_AS(index.search(std::vector<float>{}, 3), InputError);
}

TEST_CASE_METHOD(Fixture, "an index keeps its model alive, and copies share it") {
  const Index index = [&] {
    const Clip own = Clip::load(run, options());
    const Index built = Index::build(own, pictures);
    return Index(built);
  }();
  const std::vector<SearchHit> hits = index.search("a", 2),
                               again = Index::build(clip, pictures).search("a", 2);
  CHECK(hits[0].name == again[0].name);
  CHECK(hits[0].similarity == again[0].similarity);
}

}  // namespace
}  // namespace cuclip::test
