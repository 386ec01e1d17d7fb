#include "train/data/dataset.h"

#include <catch2/catch.hpp>
#include <filesystem>

#include "models/files/csv.h"
#include "tests/train/data_fixtures.h"
#include "train/data/eval_data.h"
#include "train/data/loader.h"
#include "train/draw/png.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::TarBytes;
using cuclip::test::TemporaryFolder;
using Strings = std::vector<std::string>;

namespace {

std::string picture(const Sample& sample) { return std::get<std::string>(sample.picture); }

// All rows of a CSV text.
std::vector<Strings> rows(const std::string& text, char separator = ',') {
  CsvReader reader(text, separator, "x.csv");
  std::vector<Strings> all;
  for (Strings fields; reader.next(fields);) all.push_back(fields);
  return all;
}

}  // namespace

TEST_CASE("braces expand to every name, in order") {
  CHECK(expand_braces("a.tar") == Strings{"a.tar"});
  CHECK(expand_braces("s-{08..11}.tar") == Strings{"s-08.tar", "s-09.tar", "s-10.tar", "s-11.tar"});
  CHECK(expand_braces("{0..1}{a,b}") == Strings{"0a", "0b", "1a", "1b"});
  CHECK(expand_braces("x{7..7}") == Strings{"x7"});
  CHECK(expand_braces("shards-{000..012}.tar").size() == 13);
  CHECK_THROWS_WITH(expand_braces("{3..1}"), Contains("backwards"));
  CHECK_THROWS_WITH(expand_braces("{1..2"), Contains("never closed"));
  CHECK_THROWS_WITH(expand_braces("{a..c}"), Contains("range of numbers"));
  CHECK_THROWS_WITH(expand_braces("{0..999999999}"), Contains("more than"));
  CHECK_THROWS_WITH(expand_braces("{0..9999}{0..9999}"), Contains("more than"));
}

TEST_CASE("shards give pictures and captions of the same key, wherever the members are") {
  const TemporaryFolder folder;
  folder.write("s-0.tar", TarBytes()
                              .file("a.jpg", "picture a")
                              .file("a.txt", "caption a\n")
                              .file("a.cls", "7")
                              .file("dir.x/b.PNG", "picture b")
                              .file("c.jpeg", "picture c")
                              .file("c.json", R"({"captions": ["c one", "c two"]})")
                              .file("dir.x/b.txt", "caption b")
                              .file("._a.txt", "left by a file manager")
                              .finish());
  folder.write("s-1.tar",
               TarBytes().file("../a.jpg", "outside").file("../a.txt", "never extracted").finish());
  const auto dataset = open_dataset((folder.path() / "s-{0..1}.tar").string());
  REQUIRE(dataset->size() == 4);
  CHECK(dataset->bad().count == 0);
  CHECK(dataset->load(0).key == "a");
  CHECK(picture(dataset->load(0)) == "picture a");
  CHECK(dataset->load(0).captions == Strings{"caption a"});
  CHECK(dataset->load(1).key == "dir.x/b");
  CHECK(dataset->load(1).captions == Strings{"caption b"});
  CHECK(dataset->captions(2) == Strings{"c one", "c two"});
  CHECK(dataset->load(3).key == "../a");
  CHECK(picture(dataset->load(3)) == "outside");
  CHECK_FALSE(std::filesystem::exists(folder.path().parent_path() / "a.txt"));
}

TEST_CASE("shards: halves of pairs, repeated members and links are counted") {
  const TemporaryFolder folder;
  const std::string tar = folder.write("s.tar", TarBytes()
                                                    .file("a.jpg", "a")
                                                    .file("a.txt", "a")
                                                    .file("b.jpg", "no caption")
                                                    .file("c.txt", "no picture")
                                                    .file("a.jpg", "again")
                                                    .raw(TarBytes::header("d.jpg", TarBytes::octal(0), '2'))
                                                    .finish());
  const auto dataset = open_dataset(tar);
  CHECK(dataset->size() == 1);
  CHECK(picture(dataset->load(0)) == "a");
  CHECK(dataset->bad().count == 4);
  const std::map<std::string, int64_t> expected = {
      {"no caption", 1}, {"no picture", 1}, {"repeated member", 1}, {"link", 1}};
  CHECK(dataset->bad().by_reason == expected);
  CHECK_THAT(dataset->bad().summary(),
             Contains("s.tar: c: expected a picture beside it (.jpg, .jpeg, .png,"));
}

TEST_CASE("shards: bad captions are errors of their sample") {
  const TemporaryFolder folder;
  const std::string tar = folder.write("s.tar", TarBytes()
                                                    .file("a.jpg", "a")
                                                    .file("a.txt", "  ")
                                                    .file("b.jpg", "b")
                                                    .file("b.txt", "caf\xe9")
                                                    .file("c.jpg", "c")
                                                    .file("c.json", "{")
                                                    .file("d.jpg", "d")
                                                    .file("d.txt", std::string(2 << 20, 'd'))
                                                    .file("e.jpg", "e")
                                                    .file("e.txt", std::string(100000, 'e'))
                                                    .finish());
  const auto dataset = open_dataset(tar);
  auto reason = [&](int64_t index) -> std::string {
    try {
      dataset->load(index);
    } catch (const SampleError& error) {
      CHECK_THAT(error.what(), Contains("s.tar"));
      return error.reason();
    }
    return "none";
  };
  CHECK(reason(0) == "empty caption");
  CHECK(reason(1) == "caption not UTF-8");
  CHECK(reason(2) == "unreadable caption");
  CHECK(reason(3) == "file too large");
  CHECK(reason(4) == "none");
  CHECK(dataset->load(4).captions[0].size() == static_cast<size_t>(kMaxCaptionBytes));
}

TEST_CASE("shards: a shard that changes or goes while it is in use is an error of the sample") {
  const TemporaryFolder folder;
  const std::string tar = folder.write("s.tar", TarBytes().file("a.jpg", "a").file("a.txt", "a").finish());
  const auto dataset = open_dataset(tar);
  std::filesystem::resize_file(tar, 700);
  CHECK_THROWS_AS(dataset->load(0), SampleError);
  std::filesystem::remove(tar);
  CHECK_THROWS_AS(dataset->load(0), SampleError);
}

TEST_CASE("shards: missing, truncated and wrong files are refused by name") {
  const TemporaryFolder folder;
  const std::string good = TarBytes().file("a.jpg", std::string(900, 'a')).file("a.txt", "a").finish();
  const std::string cut = folder.write("cut.tar", good.substr(0, 1000));
  CHECK_THROWS_WITH(open_dataset(cut), Contains("cut.tar: truncated"));
  const std::string html = folder.write("page.tar", "<html>" + std::string(600, ' '));
  CHECK_THROWS_WITH(open_dataset(html), Contains("page.tar: expected a tar file"));
  CHECK_THROWS_WITH(open_dataset((folder.path() / "no-{0..3}.tar").string()), Contains("no-0.tar"));
  const std::string none = folder.write("none.tar", TarBytes().file("a.jpg", "a").finish());
  CHECK_THROWS_WITH(open_dataset(none), Contains("no usable sample") && Contains("1 no caption"));
  const std::string pt = folder.write("weights.pt", "x");
  CHECK_THROWS_WITH(open_dataset(pt), Contains("is not a data set"));
  CHECK_THROWS_WITH(open_dataset("nowhere"), Contains("no such file or folder"));
}

TEST_CASE("CSV: quotes, separators and line ends inside fields") {
  CHECK(rows("a,b\nc,d") == std::vector<Strings>{{"a", "b"}, {"c", "d"}});
  CHECK(rows("a,\"b, \"\"c\"\"\nd\"\r\n\r\ne,f\r\n") ==
        std::vector<Strings>{{"a", "b, \"c\"\nd"}, {"e", "f"}});
  CHECK(rows("a,,\n") == std::vector<Strings>{{"a", "", ""}});
  CHECK(rows("a\t\"b\"\n", '\t') == std::vector<Strings>{{"a", "b"}});
  CHECK(rows("").empty());
  CHECK(rows("\n\n").empty());
  CHECK(rows("a,") == std::vector<Strings>{{"a", ""}});
  CHECK(rows("\"a\"b,c") == std::vector<Strings>{{"ab", "c"}});
  CHECK_THROWS_WITH(rows("a\n\n\"b\n"), Contains("line 3"));
}

TEST_CASE("CSV: columns, separators and relative paths") {
  const TemporaryFolder folder;
  folder.write("pictures/a.png", "A");
  const std::string csv = folder.write("pairs.csv",
                                       "id,title,filepath\n"
                                       "1,\"a, with a comma\",pictures/a.png\n"
                                       "2,another caption,pictures/a.png\n"
                                       "3,gone,pictures/missing.png\n"
                                       "4,,pictures/b.png\n"
                                       "5,three fields only\n"
                                       "6,caf\xe9,pictures/a.png\n"
                                       "7,no path,\n");
  const auto dataset = open_dataset(csv);
  REQUIRE(dataset->size() == 2);
  CHECK(dataset->load(0).captions == Strings{"a, with a comma", "another caption"});
  CHECK(picture(dataset->load(0)) == "A");
  CHECK_THROWS_AS(dataset->load(1), SampleError);
  CHECK(dataset->captions(1) == Strings{"gone"});
  const std::map<std::string, int64_t> expected = {
      {"empty caption", 1}, {"malformed row", 1}, {"caption not UTF-8", 1}, {"no picture", 1}};
  CHECK(dataset->bad().by_reason == expected);

  const std::string tsv = folder.write("pairs.tsv", "filepath\ttitle\npictures/a.png\tcaption\n");
  CHECK(open_dataset(tsv)->load(0).captions == Strings{"caption"});
  const std::string tabs = folder.write("tabs.csv", "filepath\ttitle\npictures/a.png\tcaption, with comma\n");
  CHECK(open_dataset(tabs)->load(0).captions == Strings{"caption, with comma"});
  const std::string other = folder.write("other.csv", "img|words\npictures/a.png|x\n");
  DatasetOptions options;
  options.csv_image_key = "img";
  options.csv_caption_key = "words";
  CHECK_THROWS_WITH(open_dataset(other, options), Contains("img|words"));
  options.csv_separator = "|";
  CHECK(open_dataset(other, options)->size() == 1);
  const std::string marked = folder.write("marked.csv",
                                          "\xef\xbb\xbf"
                                          "filepath,title\npictures/a.png,x\n");
  CHECK(open_dataset(marked)->captions(0) == Strings{"x"});
  const std::string usual = folder.write("usual.csv", "file,caption\npictures/a.png,x\n");
  CHECK(open_dataset(usual)->size() == 1);
  CHECK_THROWS_WITH(open_dataset(folder.write("empty.csv", "")), Contains("0 bytes"));
  CHECK_THROWS_WITH(open_dataset(folder.write("header.csv", "filepath,title\n")),
                    Contains("no usable sample"));
}

TEST_CASE("CSV: pictures that are not there are counted and named, wherever the command was started") {
  const TemporaryFolder folder;
  std::string text = "filepath,title\n" + (folder / "absolute.png").string() + ",absolute\n";
  for (int i = 0; i < 8; ++i) text += fmt::format("pictures/{}.png,caption {}\n", i, i);
  const Image grey{.width = 8, .height = 8, .rgb = std::vector<uint8_t>(8 * 8 * 3, 128)};
  folder.write("absolute.png", encode_png(grey));
  for (int i = 0; i < 7; ++i) folder.write(fmt::format("pictures/{}.png", i), encode_png(grey));
  const EvalData data =
      load_eval_data(*open_dataset(folder.write("pairs.csv", text)), EvaluationTransform(8), 2, 0, 0.2);
  CHECK(data.count() == 8);
  CHECK(data.bad.by_reason == std::map<std::string, int64_t>{{"unreadable file", 1}});
  CHECK_THAT(data.bad.summary(),
             Contains("pairs.csv: cannot read") && Contains("pictures/7.png: No such file"));
}

TEST_CASE("a folder pairs pictures with texts of the same stem, in any order of listing") {
  const TemporaryFolder folder;
  folder.write("b.jpg", "B");
  folder.write("b.txt", "caption b");
  folder.write("a/c.png", "C");
  folder.write("a/c.json", R"({"captions": ["x", "y"]})");
  folder.write("lonely.png", "L");
  folder.write("README.txt", "not a caption");
  folder.write("notes.md", "nothing");
  const auto dataset = open_dataset(folder.path().string());
  REQUIRE(dataset->size() == 2);
  CHECK(dataset->load(0).key == "a/c");
  CHECK(dataset->load(0).captions == Strings{"x", "y"});
  CHECK(picture(dataset->load(1)) == "B");
  const std::map<std::string, int64_t> expected = {{"no caption", 1}};
  CHECK(dataset->bad().by_reason == expected);

  folder.write("captions.csv", "filepath,title\nlonely.png,now with a caption\n");
  CHECK(open_dataset(folder.path().string())->load(0).captions == Strings{"now with a caption"});
  const TemporaryFolder empty;
  CHECK_THROWS_WITH(open_dataset(empty.path().string()), Contains("no usable sample"));
}

TEST_CASE("joined sources follow each other") {
  const TemporaryFolder folder;
  const std::string a = folder.write("a.tar", TarBytes().file("a.jpg", "A").file("a.txt", "a").finish());
  const std::string b = folder.write("b.csv", "filepath,title\nx.png,b\ny.png,c\n");
  const auto dataset = open_dataset(a + "::" + b);
  REQUIRE(dataset->size() == 3);
  CHECK(dataset->captions(0) == Strings{"a"});
  CHECK(dataset->captions(2) == Strings{"c"});
  CHECK(dataset->fingerprint() != open_dataset(b + "::" + a)->fingerprint());
  CHECK(dataset->fingerprint() == open_dataset(a + "::" + b)->fingerprint());
}
