#include "train/data/prepare.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "core/file_io.h"
#include "models/image/image_decode.h"
#include "tests/support/buffer.h"
#include "tests/support/file_events.h"
#include "tests/train/boxes_font.h"
#include "tests/train/data_fixtures.h"
#include "train/data/caption_words.h"
#include "train/data/collections.h"
#include "train/data/dataset_stats.h"
#include "train/data/prepared_picture.h"
#include "train/data/sample_store.h"
#include "train/data/shard_writer.h"
#include "train/draw/png.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::FileEvents;
using cuclip::test::TemporaryFolder;
using Strings = std::vector<std::string>;

namespace {

// Whether the file system has files without names.
bool unnamed_files(const std::filesystem::path& folder) {
  const int fd = ::open(folder.c_str(), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd >= 0) ::close(fd);
  return fd >= 0;
}

// A picture of random blocks: no two resemble each other.
Image blocks(int width, int height, uint64_t seed) {
  std::mt19937_64 random(seed);
  Image image{
      .width = width, .height = height, .rgb = std::vector<uint8_t>(static_cast<size_t>(width * height * 3))};
  uint8_t colours[8][8][3];
  for (auto& row : colours) {
    for (auto& cell : row) {
      for (uint8_t& value : cell) value = static_cast<uint8_t>(random() % 200);
    }
  }
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      std::memcpy(&image.rgb[static_cast<size_t>(y * width + x) * 3], colours[y * 8 / height][x * 8 / width],
                  3);
    }
  }
  return image;
}

Image white_with_box(int size, int left, int top, int width, int height) {
  Image image{.width = size, .height = size, .rgb = {}};
  image.rgb.assign(static_cast<size_t>(size * size * 3), 255);
  for (int y = top; y < top + height; ++y) {
    for (int x = left; x < left + width; ++x) image.rgb[static_cast<size_t>(y * size + x) * 3] = 0;
  }
  return image;
}

// `count` different pictures with captions in a folder.
void fill(const TemporaryFolder& folder, int count) {
  for (int i = 0; i < count; ++i) {
    folder.write(fmt::format("in/p{:03}.png", i),
                 encode_png(blocks(40 + 8 * (i % 3), 32 + 8 * (i % 2), static_cast<uint64_t>(i))));
    folder.write(fmt::format("in/p{:03}.txt", i),
                 fmt::format("picture of {}", std::string(1 + static_cast<size_t>(i), 'x')));
  }
}

PrepareOptions options(const TemporaryFolder& folder, int64_t held_out) {
  PrepareOptions o;
  o.from = {(folder.path() / "in").string()};
  o.out = folder.path() / "out";
  o.image_size = 16;
  o.held_out = held_out;
  o.samples_per_shard = 10;
  o.threads = 2;
  return o;
}

}  // namespace

TEST_CASE("shards that are written can be read, and are the same each time") {
  const TemporaryFolder folder;
  const std::string lengthy(150, 'k');
  const std::vector<ShardSample> samples = {
      {.key = "a", .extension = "png", .picture = "one", .captions = {"caption"}},
      {.key = "b/c",
       .extension = "jpg",
       .picture = std::string(2000, 'x'),
       .captions = {"first \"quoted\"", "zweite ü"}},
      {.key = lengthy, .extension = "png", .picture = "", .captions = {"long name"}}};
  auto sample = [&](int64_t i) { return samples[static_cast<size_t>(i)]; };
  CHECK(shard_list("s", 3, 2) == Strings{"s-000.tar", "s-001.tar"});
  for (PendingFile& shard : write_shards(folder.path(), "s", 3, 2, sample)) {
    CHECK_FALSE(path_exists(folder.path() / "s-001.tar"));
    shard.commit();
  }
  const auto dataset = open_dataset((folder.path() / "s-{000..001}.tar").string());
  REQUIRE(dataset->size() == 3);
  for (int64_t i = 0; i < 3; ++i) {
    CHECK(dataset->load(i).key == samples[static_cast<size_t>(i)].key);
    CHECK(dataset->load(i).captions == samples[static_cast<size_t>(i)].captions);
    CHECK(std::get<std::string>(dataset->load(i).picture) == samples[static_cast<size_t>(i)].picture);
  }
  const std::string first = read_file(folder.path() / "s-000.tar");
  for (PendingFile& shard : write_shards(folder.path(), "t", 3, 2, sample)) shard.commit();
  CHECK(read_file(folder.path() / "t-000.tar") == first);
  CHECK_THROWS_AS(write_shards(folder.path() / "missing", "s", 3, 2, sample), Error);
  CHECK_THROWS_WITH(open_dataset((folder.path() / "u-*.tar").string()), Contains("no shard at"));
  CHECK(open_dataset((folder.path() / "[st]-*.tar").string())->size() == 6);
}

TEST_CASE("a drawing is cut out of its ground and set into a white square") {
  const Image cut = cut_out_drawing(white_with_box(200, 150, 20, 40, 20), 80);
  CHECK(cut.width == 42);  // 40 and a margin of 3 % on each side; small drawings are not enlarged
  CHECK(cut.height == 42);
  auto red = [&](int x, int y) { return cut.rgb[static_cast<size_t>(y * cut.width + x) * 3]; };
  CHECK(red(0, 21) == 255);
  CHECK(red(1, 21) == 0);
  CHECK(red(40, 21) == 0);
  CHECK(red(21, 5) == 255);
  CHECK(red(21, 21) == 0);
  const Image shrunk = cut_out_drawing(white_with_box(400, 50, 50, 300, 300), 80);
  CHECK(shrunk.width == 80);
  CHECK(shrunk.rgb[static_cast<size_t>(40 * 80 + 40) * 3] == 0);
  CHECK(shrunk.rgb[static_cast<size_t>(40 * 80 + 1) * 3] == 255);
  CHECK_THROWS_WITH(cut_out_drawing(white_with_box(50, 0, 0, 0, 0), 80), Contains("nothing but white"));
  CHECK(cut_out_drawing(white_with_box(50, 3, 7, 1, 1), 80).width == 1);
}

TEST_CASE("pictures that need no change keep their bytes, others are shrunk in their own format") {
  const TemporaryFolder folder;
  RawPair pair;
  const std::string png = encode_png(blocks(30, 20, 1));
  pair.file = folder.write("a.png", png);
  CHECK(prepare_picture(pair, 20, 1000).bytes == png);
  CHECK_THROWS_WITH(prepare_picture(pair, 20, 500), Contains("a.png"));
  pair.file = folder.write("b.jpg", encode_jpeg(blocks(90, 60, 2)));
  const PreparedPicture photo = prepare_picture(pair, 20, 10000);
  CHECK(photo.format == PreparedFormat::jpeg);
  const Image decoded = decode_image(std::as_bytes(std::span(photo.bytes)), "b");
  CHECK(decoded.width == 30);
  CHECK(decoded.height == 20);
  pair.drawing = true;
  CHECK(prepare_picture(pair, 20, 10000).format == PreparedFormat::png);
  pair.file = folder.write("c.png", "<html>");
  CHECK_THROWS_AS(prepare_picture(pair, 20, 10000), SampleError);
}

TEST_CASE("preparation splits by hash: disjoint, of the size asked for, and stable when data is added") {
  const TemporaryFolder folder;
  fill(folder, 60);
  std::filesystem::create_directories(folder / "out");
  FileEvents events((folder / "out").string(), IN_CREATE);
  const PrepareReport report = prepare_dataset(options(folder, 12));
  if (unnamed_files(folder / "out")) {
    // Whoever kills it finds no file with pictures that nobody can assign.
    for (const std::string& name : events.names(IN_CREATE)) CHECK_THAT(name, !Contains("spool"));
  }
  CHECK(report.train.pictures == 48);
  CHECK(report.held_out.pictures == 12);
  CHECK(report.train_shards.size() == 5);
  auto captions = [&](const std::string& shards) {
    std::set<std::string> all;
    const auto dataset = open_dataset((folder.path() / "out" / shards).string());
    for (int64_t i = 0; i < dataset->size(); ++i) {
      for (const std::string& caption : dataset->captions(i)) CHECK(all.insert(caption).second);
    }
    return all;
  };
  const std::set<std::string> held_out = captions("held-out-000.tar"), train = captions("train-*.tar");
  for (const std::string& caption : held_out) CHECK(train.count(caption) == 0);
  const std::string first = read_file(folder.path() / "out/held-out-000.tar");

  fill(folder, 66);
  prepare_dataset(options(folder, 12));
  int stayed = 0;
  for (const std::string& caption : captions("held-out-000.tar"))
    stayed += static_cast<int>(held_out.count(caption));
  CHECK(stayed >= 6);  // each of 6 new pictures pushes out at most one
  PrepareOptions fewer = options(folder, 12);
  fewer.samples_per_shard = 100;
  CHECK(prepare_dataset(fewer).train_shards == Strings{"train-000.tar"});
  CHECK_FALSE(std::filesystem::exists(folder.path() / "out/train-001.tar"));  // would be read along
  CHECK_THROWS_WITH(prepare_dataset(options(folder, 60)), Contains("--held-out"));
}

TEST_CASE("preparation is the same with any number of threads") {
  const TemporaryFolder folder;
  fill(folder, 25);
  PrepareOptions one = options(folder, 5), three = one;
  one.threads = 1;
  prepare_dataset(one);
  three.threads = 3;
  three.out = folder.path() / "again";
  prepare_dataset(three);
  for (const char* shard : {"train-000.tar", "train-001.tar", "held-out-000.tar"}) {
    CHECK(read_file(one.out / shard) == read_file(three.out / shard));
  }
}

TEST_CASE("duplicates are joined with all their captions, and never split from their likenesses") {
  const TemporaryFolder folder;
  fill(folder, 30);
  folder.write("in/copy.png", encode_png(blocks(80, 80, 3)));  // p003 at another size
  folder.write("in/copy.txt", "something else altogether");
  const PrepareReport report = prepare_dataset(options(folder, 14));
  CHECK(report.left_out.by_reason.at("the same picture") == 1);
  CHECK(report.train.pictures + report.held_out.pictures == 30);
  for (const char* shards : {"train-*.tar", "held-out-*.tar"}) {
    const auto dataset = open_dataset((folder.path() / "out" / shards).string());
    for (int64_t i = 0; i < dataset->size(); ++i) {
      const Strings captions = dataset->captions(i);
      if (captions[0] == "something else altogether" && std::string(shards) == "train-*.tar") {
        CHECK(captions == Strings{"something else altogether", "picture of xxxx"});
      }
    }
  }
}

TEST_CASE("of drawings that are the same, the longest caption is kept and no other") {
  const TemporaryFolder folder;
  const auto add = [&](const std::string& name, uint64_t picture, const std::string& caption) {
    folder.write("in/animals/" + name + ".png", encode_png(blocks(40, 40, picture)));
    folder.write("in/animals/" + name + ".txt", caption);
  };
  // Of a drawing's words some must occur in another's, but not in most.
  for (int i = 0; i < 8; ++i) {
    const std::string pair(4, static_cast<char>('a' + i / 2)), own(5, static_cast<char>('a' + i));
    add(fmt::format("owl{}", i), static_cast<uint64_t>(i), pair + " " + own);
  }
  add("again", 3, "bbbb ddddd on a branch");
  PrepareOptions o = options(folder, 0);
  o.from = {"tuxpaint:" + (folder.path() / "in").string()};
  CHECK(prepare_dataset(o).left_out.by_reason.at("the same picture") == 1);
  const auto train = open_dataset((o.out / "train-*.tar").string());
  REQUIRE(train->size() == 8);
  int found = 0;
  for (int64_t i = 0; i < train->size(); ++i) {
    const Strings captions = train->captions(i);
    CHECK(captions.size() == 1);
    found += captions[0] == "bbbb ddddd on a branch, animal";
  }
  CHECK(found == 1);
}

TEST_CASE("captions that are too frequent, and series of numbers, are thinned out") {
  const TemporaryFolder folder;
  for (int i = 0; i < 60; ++i) {
    folder.write(fmt::format("in/p{:03}.png", i), encode_png(blocks(40, 40, static_cast<uint64_t>(i))));
    folder.write(fmt::format("in/p{:03}.txt", i), i < 30 ? "A Star." : fmt::format("card {}", i));
  }
  PrepareOptions o = options(folder, 0);
  o.max_per_caption = 4;
  o.max_per_series = 7;
  const PrepareReport report = prepare_dataset(o);
  CHECK(report.train.pictures == 11);
  CHECK(report.left_out.by_reason.at("caption too frequent") == 49);
  CHECK(report.held_out_shards.empty());
  CHECK(report.before.most_frequent[0] == std::pair<std::string, int64_t>("A Star.", 30));
}

TEST_CASE("preparation reports what it left out, and says when nothing is left") {
  const TemporaryFolder folder;
  fill(folder, 10);
  folder.write("in/empty.png", "");
  folder.write("in/empty.txt", "nothing");
  folder.write("in/page.jpg", "<html></html>");
  folder.write("in/page.txt", "a page");
  folder.write("in/lonely.png", encode_png(blocks(9, 9, 77)));
  folder.write("in/blank.png", encode_png(blocks(9, 9, 78)));
  folder.write("in/blank.txt", "  ");
  const PrepareReport report = prepare_dataset(options(folder, 2));
  CHECK(report.left_out.by_reason.at("unreadable picture") == 2);
  CHECK(report.left_out.by_reason.at("no caption") == 1);
  CHECK(report.left_out.by_reason.at("empty caption") == 1);
  CHECK_THAT(to_text(report), Contains("unreadable picture") && Contains("held out"));
  const auto json = nlohmann::json::parse(read_file(folder.path() / "out/statistics.json"));
  CHECK(json.at("train").at("pictures") == 8);
  CHECK(json.at("left_out").at("unreadable picture") == 2);
  CHECK(json.at("options").at("held_out") == 2);

  const TemporaryFolder bad;
  bad.write("in/a.png", "x");
  bad.write("in/a.txt", "a");
  CHECK_THROWS_WITH(prepare_dataset(options(bad, 0)), Contains("no usable picture"));
  CHECK_THROWS_WITH(prepare_dataset({}), Contains("--from"));
}

TEST_CASE("the collections are read from their folders") {
  const TemporaryFolder folder;
  const std::string head =
      "<?xml version='1.0'?><svg xmlns:dc='x' xmlns:rdf='y' "
      "xmlns:cc='z'><metadata><rdf:RDF><cc:Work><dc:title>";
  const std::string tail =
      "</dc:title><dc:subject><rdf:Bag><rdf:li>hash</rdf:li><rdf:li>bird</rdf:li></rdf:Bag></"
      "dc:subject><dc:creator>"
      "<cc:Agent><dc:title>Jane Doe</dc:title></cc:Agent></dc:creator></cc:Work></rdf:RDF></metadata><path "
      "d='m'/></svg>";
  folder.write("svg/animals/puffin_jane_01.svg", head + "Puffin &amp; fish" + tail);
  folder.write("svg/animals/robin.svg", head + tail);
  folder.write("svg/animals/unpainted.svg", head + "no picture" + tail);
  folder.write("svg/animals/plain.svg", "<svg></svg>");
  folder.write("png/animals/puffin_jane_01.png", "x");
  folder.write("svg/birds/heron.svg", head + "Heron &amp;amp; reeds" + tail);
  folder.write("png/animals/robin.png", "x");
  folder.write("png/birds/heron.png", "x");
  const RawPairs drawings = list_openclipart(folder.path(), 2);
  REQUIRE(drawings.pairs.size() == 3);
  CHECK(drawings.pairs[0].captions[0] == "Puffin & fish, bird");
  CHECK(drawings.pairs[2].captions[0] == "Heron & reeds, bird");
  CHECK(drawings.pairs[1].captions[0] == "robin, bird");
  CHECK(drawings.pairs[0].key == "openclipart/animals/puffin_jane_01");
  CHECK(drawings.bad.by_reason ==
        std::map<std::string, int64_t>{{"no picture", 1}, {"unreadable metadata", 1}});

  const TemporaryFolder stamps;
  stamps.write("animals/birds/owl.png", "x");
  stamps.write("animals/birds/owl.txt", "A snowy owl.\nde.utf8=Eine Schneeeule.\n");
  stamps.write("animals/birds/vector.txt", "Only as SVG.");
  const RawPairs pairs = list_tuxpaint(stamps.path());
  REQUIRE(pairs.pairs.size() == 1);
  CHECK(pairs.pairs[0].captions[0] == "A snowy owl, animal, bird");
  CHECK(pairs.bad.by_reason == std::map<std::string, int64_t>{{"no picture", 1}});
}

TEST_CASE("icons whose words no other picture has are left out, whatever their colour") {
  const TemporaryFolder folder;
  std::vector<test::BoxCharacter> characters;
  std::string css;
  const Strings names = {"bicycle", "kubernetes", "kubernetes-login", "format-login", "format-kubernetes"};
  for (size_t i = 0; i < names.size(); ++i) {
    characters.push_back({.code = fmt::format("F{:03X}", i), .width = 8 << i});
    css += fmt::format(".fa-{}:before {{ content: \"\\f{:03x}\"; }}\n", names[i], i);
  }
  folder.write("fonts/truetype/font-awesome/fontawesome-webfont.ttf", test::boxes_font(characters, 96));
  folder.write("fonts-font-awesome/css/font-awesome.css", css);
  for (int i = 0; i < 60; ++i) {  // each word is with two drawings, and none is with too many
    const std::string thing = i < 2 ? "bicycle" : fmt::format("thing{}x", std::string(size_t(i / 2), 'y'));
    folder.write(fmt::format("stamps/s{}.png", i), encode_png(blocks(32, 32, static_cast<uint64_t>(i))));
    folder.write(fmt::format("stamps/s{}.txt", i), fmt::format("{} {}", i % 30 == 0 ? "red" : "blue", thing));
  }
  PrepareOptions o = options(folder, 0);
  o.from = {"tuxpaint:" + (folder.path() / "stamps").string(), "font-awesome:" + folder.path().string()};
  const PrepareReport report = prepare_dataset(o);
  CHECK(report.left_out.by_reason == std::map<std::string, int64_t>{{"no word in common with others", 4}});
  CHECK(report.train.pictures == 61);
}

TEST_CASE("statistics of a data set count samples, repetitions and damage") {
  const TemporaryFolder folder;
  fill(folder, 12);
  folder.write("in/copy.png", encode_png(blocks(80, 80, 3)));
  folder.write("in/copy.txt", "picture of x");
  folder.write("in/cut.png", encode_png(blocks(80, 60, 50)).substr(0, 60));
  folder.write("in/cut.txt", "cut");
  const auto dataset = open_dataset((folder.path() / "in").string());
  const DatasetStatistics all = dataset_statistics(*dataset, true, 1'000'000, 2);
  CHECK(all.samples == 14);
  CHECK(all.captions.pictures == 13);
  CHECK(all.duplicate_pictures == 1);
  CHECK(all.repeated_captions == 1);
  CHECK(all.max_words == 3);
  CHECK(all.max_width == 80);
  CHECK(all.bad.by_reason.at("unreadable picture") == 1);
  const DatasetStatistics captions = dataset_statistics(*dataset, false, 1'000'000, 1);
  CHECK(captions.captions.pictures == 14);
  CHECK(captions.max_width == 0);
  CHECK(nlohmann::json::parse(to_json(all)).at("duplicate_pictures") == 1);
  CHECK_THAT(to_text(all), Contains("duplicate pictures"));
}
