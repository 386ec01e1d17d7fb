// labels: threads
// The index of a folder that changes: what is encoded again and what is not, and that the result is the one
// that a fresh index would have.
#include "models/inference/folder_indexer.h"

#include <sys/stat.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <map>
#include <thread>

#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

struct Done {
  FeatureIndex index;
  FolderIndexer::Counts counts;
  std::vector<UnreadablePicture> passed_over;
  int64_t read = 0;
};

using Numbers = std::array<int64_t, 4>;
Numbers numbers(const Done& done) {
  return {done.counts.encoded, done.counts.unchanged, done.counts.moved, done.counts.removed};
}

struct Pictures {
  Pictures() {
    randomise(model);
    for (int i = 0; i < 8; ++i) put(fmt::format("{}.bmp", i), random_image(20 + i, 17));
    put("below/8.bmp", random_image(9, 31));
  }

  fs::path at(const std::string& name) const { return folder / ("pictures/" + name); }
  // A file that has been there for `hours`: one that is seconds old is never taken by its time.
  // No two at the same time.
  void put(const std::string& name, const std::string& contents, int hours = 2) {
    folder.write("pictures/" + name, contents);
    fs::last_write_time(at(name), start - std::chrono::hours(hours) - std::chrono::milliseconds(++puts));
  }
  void put(const std::string& name, const Image& image, int hours = 2) { put(name, bmp_bytes(image), hours); }
  void set_age(const std::string& name, int hours) const {
    fs::last_write_time(at(name), start - std::chrono::hours(hours));
  }

  void swap(const std::string& a, const std::string& b) const {
    fs::rename(at(a), at("x"));
    fs::rename(at(b), at(a));
    fs::rename(at("x"), at(b));
  }

  FeatureIndex about(const std::string& source) const {
    FeatureIndex about;
    about.source = source;
    about.model_fingerprint = "0123456789abcdef";
    return about;
  }
  std::vector<PictureFile> listed() const {
    std::vector<std::string> notes;
    return list_pictures(at(""), notes);
  }
  FolderIndexer indexer(std::optional<FeatureIndex> earlier = {}) const {
    return indexer_of(listed(), std::move(earlier));
  }
  FolderIndexer indexer_of(std::vector<PictureFile> files, std::optional<FeatureIndex> earlier,
                           const std::string& source = "/p") const {
    return {model, about(source), at(""), std::move(files), std::move(earlier)};
  }
  static Done run(FolderIndexer&& indexer) {
    indexer.run({});
    CHECK(indexer.done() == indexer.to_do());
    return {indexer.snapshot(), indexer.counts(), indexer.passed_over(), indexer.to_do()};
  }
  Done index(std::optional<FeatureIndex> earlier = {}) const { return run(indexer(std::move(earlier))); }

  // Encoding beside other pictures rounds differently (docs/decisions/0013-incremental-index.md): elements of
  // unit vectors, some hundred roundings of 2^-24.
  void check_as_fresh(const FeatureIndex& index) const {
    const FeatureIndex fresh = this->index().index;
    REQUIRE(index.names == fresh.names);
    CHECK(index.rows == fresh.rows);
    CHECK(index.files == fresh.files);
    CHECK(index.missing == 0);
    const std::vector<float> ours = index.features.to_floats(), theirs = fresh.features.to_floats();
    REQUIRE(ours.size() == theirs.size());
    for (size_t i = 0; i < ours.size(); ++i) CHECK(ours[i] == Approx(theirs[i]).margin(1e-5));
  }

  fs::file_time_type start = fs::file_time_type::clock::now();
  int puts = 0;
  Context context{2};
  ClipModel model{context, tiny_config()};
  TemporaryFolder folder;
};

std::map<std::string, std::vector<float>> by_name(const FeatureIndex& index) {
  std::map<std::string, std::vector<float>> features;
  for (size_t row = 0; row < index.names.size(); ++row)
    features[index.names[row]] = index.features.rows(static_cast<int64_t>(row), 1).to_floats();
  return features;
}

TEST_CASE_METHOD(Pictures, "a first index has every picture with its size, time and hash") {
  const Done first = index();
  CHECK(numbers(first) == Numbers{9, 0, 0, 0});
  REQUIRE(first.index.names.size() == 9);
  CHECK(first.index.names.back() == "below/8.bmp");
  const std::vector<float> encoded =
      encode_picture_files(model, std::vector{at("3.bmp")}).features.to_floats();
  for (size_t i = 0; i < encoded.size(); ++i)
    CHECK(by_name(first.index)["3.bmp"][i] == Approx(encoded[i]).margin(1e-5));
  struct stat info {};
  REQUIRE(::stat(at("3.bmp").c_str(), &info) == 0);
  CHECK(first.index.files[3].stamp == stamp_of(info));
  CHECK(first.index.files[3].stamp.bytes == static_cast<int64_t>(fs::file_size(at("3.bmp"))));
  // One more or less, and the same file under two names.
  put("a.bmp", random_image(4, 4));
  fs::copy_file(at("a.bmp"), at("b.bmp"));
  const Done second = index();
  CHECK(second.index.files[8].xxh3 == second.index.files[9].xxh3);
  CHECK(second.index.files[8].xxh3 != second.index.files[3].xxh3);
}

TEST_CASE_METHOD(Pictures, "nothing is read where nothing has changed, and every bit stays") {
  const Done first = index(), second = index(first.index);
  CHECK(second.read == 0);
  CHECK(numbers(second) == Numbers{0, 9, 0, 0});
  CHECK(second.index.files == first.index.files);
  CHECK(by_name(second.index) == by_name(first.index));
}

TEST_CASE_METHOD(Pictures, "what is new, changed, touched, moved, copied or gone is told apart") {
  const Done first = index();
  const auto before = by_name(first.index);
  put("new.bmp", random_image(12, 12));
  put("0.bmp", random_image(20, 17), 1);  // the size stays
  put("1.bmp", random_image(33, 17), 2);  // the time stays
  set_age("2.bmp", 1);
  fs::rename(at("3.bmp"), at("moved.bmp"));
  fs::copy_file(at("4.bmp"), at("copy.bmp"));
  set_age("copy.bmp", 1);
  fs::remove(at("5.bmp"));
  const Done second = index(first.index);
  CHECK(second.read == 6);  // new, 0, 1, 2, moved, copy
  CHECK(numbers(second) == Numbers{3, 5, 2, 1});
  check_as_fresh(second.index);
  auto after = by_name(second.index);
  for (const char* name : {"2.bmp", "4.bmp", "6.bmp", "7.bmp", "below/8.bmp"})
    CHECK(after.at(name) == before.at(name));
  CHECK(after.at("moved.bmp") == before.at("3.bmp"));
  CHECK(after.at("copy.bmp") == before.at("4.bmp"));
  CHECK(after.at("0.bmp") != before.at("0.bmp"));
  CHECK(after.at("1.bmp") != before.at("1.bmp"));
  CHECK_FALSE(after.contains("3.bmp"));
  CHECK_FALSE(after.contains("5.bmp"));
}

TEST_CASE_METHOD(Pictures, "pictures that change places keep their own features") {
  const Done first = index();
  const auto before = by_name(first.index);
  swap("0.bmp", "1.bmp");
  const Done second = index(first.index);
  CHECK(numbers(second) == Numbers{0, 7, 2, 0});
  CHECK(by_name(second.index).at("0.bmp") == before.at("1.bmp"));
  CHECK(by_name(second.index).at("1.bmp") == before.at("0.bmp"));
}

TEST_CASE_METHOD(Pictures, "files of one size and one time are told apart by their contents") {
  put("a.bmp", random_image(8, 8));
  put("b.bmp", random_image(8, 8));
  for (const char* name : {"a.bmp", "b.bmp"}) set_age(name, 3);  // as an archive's members may have it
  const Done first = index();
  swap("a.bmp", "b.bmp");
  const Done second = index(first.index);
  CHECK(numbers(second) == Numbers{0, 9, 2, 0});
  CHECK(second.read == 2);
  auto earlier = by_name(first.index), now = by_name(second.index);
  CHECK(now["a.bmp"] == earlier["b.bmp"]);
  CHECK(now["b.bmp"] == earlier["a.bmp"]);
}

TEST_CASE_METHOD(Pictures, "a folder that goes away while it is indexed takes nothing with it") {
  const Done first = index();
  put("a.bmp", random_image(8, 8));
  FolderIndexer second = indexer(first.index);
  fs::rename(at(""), folder / "elsewhere");
  SECTION("nothing is there") {}
  SECTION("what it was mounted on is there") { fs::create_directories(at("")); }
  CHECK_THROWS_WITH(second.run({}), Contains("pictures") && Contains("went away"));
  CHECK(by_name(second.snapshot()) == by_name(first.index));
  CHECK(second.snapshot().missing == 1);
}

TEST_CASE_METHOD(Pictures, "a change within the same tick of the clock is seen") {
  const Image image = random_image(20, 17);
  put("0.bmp", image);
  set_age("0.bmp", -1);  // younger than it can get, however busy the machine
  const Done first = index();
  CHECK(first.index.files[0].stamp.mtime_ns == kNoTime);
  put("0.bmp", random_image(20, 17));
  set_age("0.bmp", -1);  // size and time stay
  const Done second = index(first.index);
  CHECK(numbers(second) == Numbers{1, 8, 0, 0});
  CHECK(by_name(second.index).at("0.bmp") != by_name(first.index).at("0.bmp"));
  const Done third = index(second.index);
  CHECK(third.read == 1);
  CHECK(numbers(third) == Numbers{0, 9, 0, 0});
}

TEST_CASE_METHOD(Pictures, "in another folder contents decide, not times") {
  set_age("0.bmp", 3);
  const Done first = index();
  put("0.bmp", random_image(20, 17));
  set_age("0.bmp", 3);  // as old and as large as the one that it replaces
  const Done second = run(indexer_of(listed(), first.index, "/q"));
  CHECK(second.read == 9);
  CHECK(numbers(second) == Numbers{1, 8, 0, 0});
  check_as_fresh(second.index);
}

TEST_CASE_METHOD(Pictures,
                 "a picture that is damaged now leaves the index and is named, until it is mended") {
  const Done first = index();
  const Image image = random_image(8, 8);
  put("0.bmp", "no picture");
  put("1.bmp", bmp_bytes(image).substr(0, 100));
  put("9.bmp", "");
  const Done second = index(first.index);
  CHECK(numbers(second) == Numbers{0, 7, 0, 0});
  REQUIRE(second.passed_over.size() == 3);
  CHECK_THAT(second.passed_over[0].reason, Contains("0.bmp"));
  CHECK(second.passed_over[0].path == at("0.bmp"));
  CHECK_THAT(second.passed_over[2].reason, Contains("9.bmp") && Contains("empty"));
  check_as_fresh(second.index);
  put("1.bmp", image);
  CHECK(numbers(index(second.index)) == Numbers{1, 7, 0, 0});
}

TEST_CASE_METHOD(Pictures, "files that vanish after the listing are passed over") {
  const Done first = index();
  put("a.bmp", random_image(8, 8));
  std::vector<PictureFile> files = listed();
  fs::remove(at("a.bmp"));
  const Done second = run(indexer_of(files, first.index));
  CHECK(numbers(second) == Numbers{0, 9, 0, 0});
  REQUIRE(second.passed_over.size() == 1);
  CHECK_THAT(second.passed_over[0].reason, Contains("a.bmp: it has gone since"));
}

TEST_CASE_METHOD(Pictures, "a folder of which nothing can be read is refused") {
  const Done first = index();
  for (const PictureFile& file : listed()) put(file.name, "no picture");
  CHECK_THROWS_WITH(index(), Contains("none of the 9") && Contains("0.bmp"));
  CHECK_THROWS_WITH(index(first.index), Contains("none of the 9"));
}

// Stops like a kill: what snapshot() gave last is all that is left.
struct Stopped {};

struct ManyPictures : Pictures {
  ManyPictures() {
    for (int i = 0; i < 4 * kPictureBatch; ++i) put(fmt::format("many/{:03}.bmp", i), random_image(7, 5));
  }
  // After `batches` of them.
  FeatureIndex interrupted(std::optional<FeatureIndex> earlier, int batches) const {
    FolderIndexer part = indexer(std::move(earlier));
    FeatureIndex saved;
    CHECK_THROWS_AS(part.run([&](int64_t) {
      saved = part.snapshot();
      if (--batches == 0) throw Stopped{};
    }),
                    Stopped);
    return saved;
  }
};

TEST_CASE_METHOD(ManyPictures, "an interrupted indexing continues where it was") {
  const int64_t all = 4 * kPictureBatch + 9;
  FeatureIndex index = interrupted({}, 1);
  CHECK(std::ssize(index.names) == kPictureBatch);
  CHECK(index.missing == all - kPictureBatch);
  // Killed again and again, each time a batch further.
  for (int64_t round = 2; round <= 4; ++round) {
    index = interrupted(index, 1);
    CHECK(std::ssize(index.names) == round * kPictureBatch);
    CHECK(index.missing == all - round * kPictureBatch);
  }
  const Done last = this->index(index);
  CHECK(numbers(last) == Numbers{9, 4 * kPictureBatch, 0, 0});
  check_as_fresh(last.index);
}

TEST_CASE_METHOD(ManyPictures, "an interruption loses nothing of an earlier index") {
  const Done first = index();
  const auto before = by_name(first.index);
  // Everything must be read again: half of it was moved, the rest has a new time.
  fs::rename(at("many"), at("elsewhere"));
  for (int i = 0; i < 8; ++i) set_age(fmt::format("{}.bmp", i), 1);
  fs::remove(at("below/8.bmp"));
  put("new.bmp", random_image(12, 12));
  for (const int batches : {1, 2}) {
    const FeatureIndex part = interrupted(first.index, batches);
    CHECK(part.missing > 0);
    // Each picture is there, under its old or its new name.
    CHECK(std::ssize(part.names) >= 4 * kPictureBatch + 9);
    const Done second = index(part);
    CHECK(second.counts.encoded == (by_name(part).contains("new.bmp") ? 0 : 1));
    check_as_fresh(second.index);
    auto after = by_name(second.index);
    for (const auto& [name, features] : before) {
      INFO(name);
      if (name == "below/8.bmp") continue;
      const std::string now = name.starts_with("many/") ? "elsewhere/" + name.substr(5) : name;
      CHECK(after.at(now) == features);
    }
  }
}

TEST_CASE_METHOD(ManyPictures, "batches are full, whatever is passed over and reused between them") {
  const Done first = index();
  for (int i = 0; i < 4 * kPictureBatch; ++i) {
    const std::string name = fmt::format("many/{:03}.bmp", i);
    if (i % 3 == 0) put(name, "no picture");
    if (i % 3 == 1) put(name, random_image(6, 6), 1);  // as many bytes as before
  }
  for (const bool anew : {false, true}) {
    FolderIndexer indexer = anew ? this->indexer() : this->indexer(first.index);
    std::vector<int64_t> done;
    indexer.run([&](int64_t now) { done.push_back(now); });
    CHECK(done.back() == indexer.to_do());
    CHECK(std::is_sorted(done.begin(), done.end()));
    check_as_fresh(indexer.snapshot());
    CHECK(indexer.passed_over().size() == 86);
    CHECK(indexer.counts().encoded == (anew ? 179 : 85));
  }
}

TEST_CASE_METHOD(ManyPictures, "the index can be had on another thread while it is made") {
  const int64_t all = 4 * kPictureBatch + 9;
  FolderIndexer whole = indexer();
  std::atomic<bool> ended{false};
  std::vector<FeatureIndex> seen;
  std::thread watching([&] {
    while (!ended) {
      FeatureIndex part = whole.snapshot();
      if (seen.empty() || part.names.size() > seen.back().names.size()) seen.push_back(std::move(part));
    }
  });
  whole.run([](int64_t) { std::this_thread::yield(); });
  ended = true;
  watching.join();
  const auto last = by_name(whole.snapshot());
  for (const FeatureIndex& part : seen) {
    CHECK(std::ssize(part.names) + part.missing == all);
    for (const auto& [name, features] : by_name(part)) CHECK(features == last.at(name));
  }
}

TEST_CASE_METHOD(ManyPictures, "what an interruption kept of another folder is not taken by its time") {
  const Done first = index();
  FolderIndexer part = indexer_of(listed(), first.index, "/q");
  FeatureIndex saved;
  CHECK_THROWS_AS(part.run([&](int64_t) {
    saved = part.snapshot();
    throw Stopped{};
  }),
                  Stopped);
  put("many/255.bmp", random_image(7, 5));
  const Done second = run(indexer_of(listed(), saved, "/q"));
  CHECK(numbers(second) == Numbers{1, 4 * kPictureBatch + 8, 0, 0});
  check_as_fresh(second.index);
}

}  // namespace
}  // namespace cuclip::test
