// Shards as other tools write and users treat them: keys with dots, archives that were joined, members out of
// order. Nothing of them vanishes without a word.
#include <catch2/catch.hpp>

#include "tests/train/data_fixtures.h"
#include "train/data/dataset.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::TarBytes;
using cuclip::test::TemporaryFolder;
using Strings = std::vector<std::string>;
using Reasons = std::map<std::string, int64_t>;

namespace {

constexpr const char* kDots = "name with several dots";

std::unique_ptr<Dataset> open(const TemporaryFolder& folder, const std::string& bytes) {
  return open_dataset(folder.write("s.tar", bytes));
}

Strings captions(const Dataset& dataset) {
  Strings all;
  for (int64_t i = 0; i < dataset.size(); ++i) all.push_back(dataset.captions(i).at(0));
  return all;
}

}  // namespace

TEST_CASE("pairs split by WebDataset's first-dot rule are counted, with the rule") {
  const TemporaryFolder folder;
  TarBytes all, half, inputs;
  for (int i = 0; i < 3; ++i) {
    const std::string track = fmt::format("00{} Track {}.0 (Clean Version)", i, i),
                      sample = fmt::format("sample{}", i),
                      version = i == 1 ? "plain" : fmt::format("v1.{} name", i);
    all.file(track + ".jpg", "x").file(track + ".txt", "x");
    half.file(version + ".jpg", "x").file(version + ".txt", "x");
    inputs.file(sample + ".input.jpg", "x").file(sample + ".outputs.txt", "x");
  }
  CHECK_THROWS_WITH(open(folder, all.finish()), Contains("3 (3 name with several dots)") &&
                                                    Contains("000 Track 0.0 (Clean Version).jpg") &&
                                                    Contains("the key '000 Track 0' ends at the first dot") &&
                                                    Contains("WebDataset's rule") &&
                                                    Contains("rename the members"));
  CHECK_THROWS_WITH(open(folder, inputs.finish()),
                    Contains("3 (3 name with several dots)") && Contains("the extension 'input.jpg'"));
  const auto some = open(folder, half.finish());
  CHECK(some->size() == 1);
  CHECK(some->key(0) == "plain");
  CHECK(some->bad().by_reason == Reasons{{kDots, 2}});
}

TEST_CASE("several pictures under one key: what is lost is counted, what is only additional is reported") {
  const TemporaryFolder folder;
  // A key that is whole, with a mask beside it: WebDataset's way of having more than one file of a kind.
  const auto masks = open(folder, TarBytes()
                                      .file("a.jpg", "A")
                                      .file("a.seg.png", "mask")
                                      .file("a.txt", "caption a")
                                      .file("a.meta.json", "{}")
                                      .finish());
  CHECK(masks->size() == 1);
  CHECK(masks->bad().count == 0);
  REQUIRE(masks->notes().size() == 1);
  CHECK_THAT(masks->notes()[0], Contains("1 additional picture in a pair") && Contains("a.seg.png"));

  // The key is whole, but the second picture has a caption of its own.
  const auto pairs = open(folder, TarBytes()
                                      .file("v1.jpg", "A")
                                      .file("v1.txt", "caption a")
                                      .file("v1.2 b.jpg", "B")
                                      .file("v1.2 b.txt", "caption b")
                                      .finish());
  CHECK(captions(*pairs) == Strings{"caption a"});
  CHECK(pairs->bad().by_reason == Reasons{{kDots, 1}});

  // Either half plain: counted once, with what was found instead.
  const auto halves = open(folder, TarBytes()
                                       .file("a.jpg", "A")
                                       .file("a.caption.txt", "caption a")
                                       .file("b.input.jpg", "B")
                                       .file("b.txt", "caption b")
                                       .file("c.jpg", "C")
                                       .file("c.txt", "caption c")
                                       .finish());
  CHECK(halves->size() == 1);
  CHECK(halves->bad().by_reason == Reasons{{kDots, 1}, {"no caption", 1}});
  CHECK_THAT(halves->bad().summary(), Contains("a: expected a .txt or .json beside it, found a.caption.txt"));
}

TEST_CASE("members of one key need not be neighbours, and extensions count in either case") {
  const TemporaryFolder folder;
  const auto dataset = open(folder, TarBytes()
                                        .file("a.JPG", "A")
                                        .file("b.png", "B")
                                        .file("c.TXT", "caption c")
                                        .file("b.Json", R"({"caption": "caption b"})")
                                        .file("c.jpeg", "C")
                                        .file("a.txt", "caption a")
                                        .finish());
  CHECK(captions(*dataset) == Strings{"caption a", "caption b", "caption c"});
  CHECK(dataset->bad().count == 0);
}

TEST_CASE("archives that were joined are read to the end, each with its own keys") {
  const TemporaryFolder folder;
  const std::string one = TarBytes().file("0.jpg", "A").file("0.txt", "first").finish();
  const std::string two =
      TarBytes().file("0.jpg", "B").file("0.txt", "second").finish() + std::string(8192, '\0');
  const auto dataset = open(folder, one + two + one.substr(0, 2048));
  CHECK(captions(*dataset) == Strings{"first", "second", "first"});
  CHECK(std::get<std::string>(dataset->load(1).picture) == "B");
  CHECK(dataset->bad().count == 0);
  CHECK(dataset->notes().empty());
  const std::string large = TarBytes().file("0.jpg", std::string(900, 'x')).finish();
  CHECK_THROWS_WITH(open(folder, one + large.substr(0, 1000)), Contains("truncated"));
}

TEST_CASE("what follows an archive and is not one is reported") {
  const TemporaryFolder folder;
  const std::string good = TarBytes().file("a.jpg", "A").file("a.txt", "a").finish();
  for (const size_t size : {7, 512, 5000}) {
    INFO(size);
    const auto dataset = open(folder, good + std::string(size, 'x'));
    CHECK(dataset->size() == 1);
    REQUIRE(dataset->notes().size() == 1);
    CHECK_THAT(dataset->notes()[0],
               Contains(fmt::format("s.tar: {} bytes starting at byte {}", size, good.size())) &&
                   Contains("after the end of the archive"));
  }
  const auto with_zeros = [&](size_t size) {
    return open(folder, good.substr(0, good.size() - 1024) + std::string(size, '\0'));
  };
  CHECK(with_zeros(1 << 20)->notes().empty());
  const auto cut = with_zeros((1 << 20) + 1);
  REQUIRE(cut->notes().size() == 1);
  CHECK_THAT(cut->notes()[0], Contains("long run of zeros") && Contains("(was the download complete?)"));
}

TEST_CASE("leftovers in shards are passed over, but not what was packed from a hidden folder") {
  const TemporaryFolder folder;
  const auto dataset = open(folder, TarBytes()
                                        .file("home/.cache/a.jpg", "A")
                                        .file("home/.cache/a.txt", "a")
                                        .file("home/.cache/._a.jpg", "x")
                                        .file("home/__MACOSX/a.jpg", "x")
                                        .file("home/@eaDir/a.jpg", "x")
                                        .file("./.thumbnails/a.jpg", "x")
                                        .file("./b.jpg", "B")
                                        .file("./b.txt", "b")
                                        .finish());
  CHECK(captions(*dataset) == Strings{"a", "b"});
  CHECK(dataset->bad().count == 0);
  REQUIRE(dataset->notes().size() == 1);
  CHECK_THAT(dataset->notes()[0], Contains("4 hidden members") && Contains("._a.jpg"));
}

TEST_CASE("a link in a shard is named, with the shard that it is in") {
  const TemporaryFolder folder;
  folder.write("s-0.tar", TarBytes().file("a.jpg", "A").file("a.txt", "a").finish());
  folder.write("s-1.tar", TarBytes()
                              .raw(TarBytes::header("../../etc/passwd.jpg", TarBytes::octal(0), '2'))
                              .raw(TarBytes::header("b.jpg", TarBytes::octal(0), '1'))
                              .finish());
  const auto dataset = open_dataset((folder / "s-{0..1}.tar").string());
  CHECK(dataset->size() == 1);
  CHECK(dataset->bad().by_reason == Reasons{{"link", 2}});
  CHECK_THAT(dataset->bad().summary(), Contains("s-1.tar: ../../etc/passwd.jpg: links are never followed"));
}
