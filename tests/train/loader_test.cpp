// labels: threads
#include "train/data/loader.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <fstream>
#include <numeric>
#include <set>
#include <sstream>

#include "models/text/bpe_trainer.h"
#include "tests/support/paths.h"
#include "tests/train/data_fixtures.h"
#include "train/data/caption_parts.h"
#include "train/data/eval_data.h"
#include "train/data/synthetic.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::TarBytes;
using cuclip::test::TemporaryFolder;

namespace {

// `good` one-colour pictures, sample i with the captions "i" and "i again"; those listed in `bad` cannot be
// used.
class FakeDataset final : public Dataset {
 public:
  explicit FakeDataset(int64_t count, std::set<int64_t> bad = {})
      : count_(count), bad_indices_(std::move(bad)) {}

  int64_t size() const override { return count_; }
  Sample load(int64_t index) const override {
    if (bad_indices_.count(index) > 0) throw SampleError("test", fmt::format("sample {} is bad", index));
    // Larger and smaller than what is asked for, landscape and portrait; a gradient, so that crops differ.
    Image image{
        .width = 20 + static_cast<int>(index % 40), .height = 20 + static_cast<int>(index % 23), .rgb = {}};
    for (int i = 0; i < image.width * image.height * 3; ++i)
      image.rgb.push_back(static_cast<uint8_t>(i + index));
    const std::string name = std::to_string(index);
    return {.key = name, .picture = std::move(image), .captions = {name, name + " again"}};
  }
  std::string describe() const override { return fmt::format("fake: {}", count_); }
  std::string key(int64_t index) const override { return std::to_string(index); }
  int64_t picture_bytes(int64_t) const override { return 0; }
  void leave_out(int64_t samples) { bad_.add("test", "left out", samples); }

 private:
  int64_t count_;
  std::set<int64_t> bad_indices_;
};

LoaderOptions options(int64_t batch_size, int workers) {
  LoaderOptions o;
  o.batch_size = batch_size;
  o.image_size = 16;
  o.workers = workers;
  o.flip_probability = 0.5;
  return o;
}

template <typename T>
std::vector<T> values(const Tensor& tensor) {
  return {tensor.data<T>(), tensor.data<T>() + tensor.elements()};
}

void check_same(const Batch& a, const Batch& b) {
  CHECK(a.epoch == b.epoch);
  CHECK(a.index == b.index);
  CHECK(a.captions == b.captions);
  CHECK(values<uint8_t>(a.images) == values<uint8_t>(b.images));
  CHECK(a.bad_samples == b.bad_samples);
}

std::string file(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

TEST_CASE("batches depend neither on the number of threads nor on prefetching") {
  const FakeDataset dataset(77, {5, 6, 30});
  Loader reference(dataset, options(10, 0));
  std::vector<Batch> expected;
  for (int i = 0; i < 20; ++i) expected.push_back(reference.next());
  for (int workers : {1, 2, 5}) {
    for (int prefetch : {1, 4}) {
      LoaderOptions o = options(10, workers);
      o.prefetch = prefetch;
      Loader loader(dataset, o);
      for (const Batch& batch : expected) check_same(loader.next(), batch);
    }
  }
}

TEST_CASE("batches carry their captions' tokens, whoever made them and however long the captions are") {
  constexpr int64_t kLength = 6;
  const auto dataset = open_dataset("synthetic:shapes?size=32&count=70");
  std::vector<std::string> captions;
  for (int64_t i = 0; i < dataset->size(); ++i) captions.push_back(dataset->captions(i).at(0));
  const Tokenizer tokenizer = train_bpe(captions, 600);
  LoaderOptions o = options(35, 0);  // not a multiple of what a worker takes at a time
  o.tokenizer = &tokenizer;
  o.context_length = kLength;
  int64_t cut = 0, padded = 0;
  for (const int workers : {0, 1, 3}) {
    o.workers = workers;
    Loader loader(*dataset, o);
    for (int i = 0; i < 5; ++i) {
      const Batch batch = loader.next();
      REQUIRE(values<int32_t>(batch.tokens) == tokenizer.encode_padded(batch.captions, kLength));
      for (const std::string& caption : batch.captions) {
        const int64_t needed = std::ssize(tokenizer.encode_with_specials(caption));
        cut += needed > kLength;
        padded += needed < kLength;
      }
    }
  }
  CHECK(cut > 0);
  CHECK(padded > 0);
  o.tokenizer = nullptr;
  CHECK_FALSE(Loader(*dataset, o).next().tokens);
}

TEST_CASE("a share of the captions is parts of them as queries, and each comes with its set of words") {
  const auto dataset = open_dataset("synthetic:shapes?size=32&count=200");
  Loader plain(*dataset, options(100, 0));
  LoaderOptions o = options(100, 0);
  o.caption_augment = 0.5;
  Loader reference(*dataset, o);
  o.workers = 3;
  Loader loader(*dataset, o);
  std::set<std::string> whole;
  for (int64_t i = 0; i < dataset->size(); ++i) {
    for (std::string& caption : dataset->captions(i)) whole.insert(std::move(caption));
  }
  int parts = 0;
  for (int i = 0; i < 10; ++i) {
    const Batch unchanged = plain.next(), expected = reference.next(), batch = loader.next();
    check_same(batch, expected);
    const std::vector<int32_t> words = values<int32_t>(batch.words);
    CHECK(words == values<int32_t>(expected.words));
    REQUIRE(words.size() == 4 * batch.captions.size());
    for (size_t j = 0; j < batch.captions.size(); ++j) {
      const bool part = whole.count(batch.captions[j]) == 0;
      parts += part;
      CHECK(whole.count(unchanged.captions[j]) == 1);
      const WordSet full = word_set(unchanged.captions[j]);
      bool contained = true;
      for (size_t k = 0; k < 4; ++k) contained = contained && (words[4 * j + k] & ~full[k]) == 0;
      CHECK(contained);
      if (!part) CHECK(std::equal(full.begin(), full.end(), words.begin() + static_cast<int64_t>(4 * j)));
    }
  }
  // Half of 1,000 draws, less those that are a whole caption again; 5 standard deviations are 80.
  CHECK((parts > 250 && parts < 580));
}

TEST_CASE("an epoch shows every sample at most once, drops what fills no batch, and differs from the next") {
  const FakeDataset dataset(53);
  Loader loader(dataset, options(10, 2));
  CHECK(loader.batches_per_epoch() == 5);
  std::vector<std::string> orders;
  for (int64_t epoch = 0; epoch < 3; ++epoch) {
    std::set<int64_t> seen;
    std::string order;
    for (int64_t index = 0; index < 5; ++index) {
      CHECK(loader.position() == LoaderPosition{epoch, index});
      const Batch batch = loader.next();
      CHECK(batch.epoch == epoch);
      CHECK(batch.index == index);
      CHECK(batch.images.shape() == Shape{10, 16, 16, 3});
      for (const std::string& caption : batch.captions) {
        CHECK(seen.insert(std::stoll(caption)).second);
        order += caption;
        order += ',';
      }
    }
    CHECK(seen.size() == 50);
    orders.push_back(order);
  }
  CHECK(orders[0] != orders[1]);
  CHECK(orders[1] != orders[2]);
}

TEST_CASE("both captions of a picture are drawn in the course of the epochs, and its crops differ") {
  const FakeDataset dataset(10);
  Loader loader(dataset, options(10, 1));
  std::set<std::string> captions;
  std::set<std::vector<uint8_t>> crops;
  for (int i = 0; i < 30; ++i) {
    const Batch batch = loader.next();
    captions.insert(batch.captions.begin(), batch.captions.end());
    for (size_t place = 0; place < 10; ++place) {
      if (batch.captions[place].substr(0, 1) != "7") continue;
      const uint8_t* at = batch.images.data<uint8_t>() + place * 16 * 16 * 3;
      crops.emplace(at, at + 16 * 16 * 3);
    }
  }
  CHECK(captions.size() == 20);
  CHECK(crops.size() > 15);
}

TEST_CASE("restoring a position, forward or back, gives the batches of an uninterrupted run") {
  const FakeDataset dataset(45, {3});
  std::vector<Batch> expected;
  Loader reference(dataset, options(8, 0));
  for (int i = 0; i < 15; ++i) expected.push_back(reference.next());
  for (int workers : {0, 2}) {
    for (size_t at : {0, 1, 4, 5, 7, 12}) {
      Loader loader(dataset, options(8, workers));
      const int64_t per_epoch = loader.batches_per_epoch();
      const auto position = static_cast<int64_t>(at);
      loader.restore({.epoch = position / per_epoch, .batch = position % per_epoch});
      for (size_t i = at; i < expected.size(); ++i) check_same(loader.next(), expected[i]);
      loader.restore({.epoch = 0, .batch = 2});
      check_same(loader.next(), expected[2]);
    }
  }
  CHECK_THROWS_WITH(reference.restore({.epoch = 0, .batch = 5}), Contains("no batch 5"));
  CHECK_THROWS_AS(reference.restore({.epoch = -1, .batch = 0}), InputError);
}

TEST_CASE(
    "a cache that holds only some pictures changes nothing; a picture is shrunk for it before it is "
    "cropped") {
  const FakeDataset dataset(60);
  LoaderOptions all = options(20, 1);
  // Expected to fit, but it does not: the pictures are kept at 20 pixels and up, with 3 bytes each.
  LoaderOptions some = all;
  some.cache_bytes = 60 * 20 * 20 * 3 * 4 / 3;
  LoaderOptions none = all;
  none.cache_bytes = 0;
  Loader with_all(dataset, all), with_some(dataset, some), with_none(dataset, none);
  bool differs = false;
  for (int i = 0; i < 9; ++i) {
    const Batch batch = with_all.next();
    check_same(with_some.next(), batch);
    differs = differs || values<uint8_t>(with_none.next().images) != values<uint8_t>(batch.images);
  }
  CHECK(differs);
  CHECK_THAT(with_all.describe(), Contains("kept decoded at 20 pixels"));
  CHECK_THAT(with_none.describe(), Contains("decoded each epoch"));
}

TEST_CASE("a bad sample's place is filled by the next good one, and it is counted once") {
  const FakeDataset dataset(40, {7, 8});
  Loader loader(dataset, options(10, 2));
  int64_t replaced = 0, nines = 0;
  for (int i = 0; i < 8; ++i) {  // two epochs
    const Batch batch = loader.next();
    replaced += batch.bad_samples;
    for (const std::string& caption : batch.captions)
      nines += caption.substr(0, 2) == "9" || caption == "9 again";
  }
  CHECK(replaced == 4);
  CHECK(nines == 6);  // its own two turns, and those of 7 and 8
  CHECK(loader.bad().count == 2);
  CHECK_THAT(loader.bad().summary(), Contains("2 test") && Contains("is bad"));
}

TEST_CASE("too many bad samples stop the run with the reasons") {
  std::set<int64_t> bad;
  for (int64_t i = 0; i < 12; ++i) bad.insert(i * 8);
  const FakeDataset dataset(100, bad);
  for (int workers : {0, 2}) {
    LoaderOptions o = options(10, workers);
    Loader strict(dataset, o);
    auto run = [](Loader& loader) {
      for (int i = 0; i < 20; ++i) loader.next();
    };
    CHECK_THROWS_WITH(run(strict), Contains("--max-bad-fraction") && Contains("test"));
    o.max_bad_fraction = 0.12;
    Loader lenient(dataset, o);
    CHECK_NOTHROW(run(lenient));
  }
}

TEST_CASE("a data set of bad samples only is an error, not an endless search") {
  std::set<int64_t> bad;
  for (int64_t i = 0; i < 30; ++i) bad.insert(i);
  const FakeDataset dataset(30, bad);
  for (double fraction : {0.1, 1.0}) {
    LoaderOptions o = options(10, 1);
    o.max_bad_fraction = fraction;
    Loader loader(dataset, o);
    CHECK_THROWS_AS(loader.next(), InputError);
  }
}

TEST_CASE("samples that the data set left out count as bad") {
  FakeDataset dataset(80);
  dataset.leave_out(20);
  CHECK_THROWS_WITH(Loader(dataset, options(10, 1)), Contains("20 test"));
  LoaderOptions o = options(10, 1);
  o.max_bad_fraction = 0.2;
  CHECK_NOTHROW(Loader(dataset, o).next());
}

TEST_CASE("a data set smaller than a batch is refused with both numbers") {
  const FakeDataset dataset(9);
  CHECK_THROWS_WITH(Loader(dataset, options(10, 1)), Contains("fake: 9") && Contains("batch of 10"));
  CHECK_NOTHROW(Loader(FakeDataset(10), options(10, 1)).next());
}

TEST_CASE("pictures that are not pictures are bad samples") {
  const std::string good = file(test::test_data() + "/pictures/rgb8.png");
  REQUIRE(good.size() > 100);
  const TemporaryFolder folder;
  TarBytes tar;
  for (int i = 0; i < 30; ++i)
    tar.file(fmt::format("g{}.png", i), good).file(fmt::format("g{}.txt", i), "good");
  tar.file("html.jpg", "<html>Not Found</html>").file("html.txt", "a page");
  tar.file("empty.jpg", "").file("empty.txt", "nothing");
  tar.file("cut.png", good.substr(0, good.size() / 2)).file("cut.txt", "half");
  const auto dataset = open_dataset(folder.write("s.tar", tar.finish()));
  LoaderOptions o = options(33, 2);
  Loader loader(*dataset, o);
  const Batch batch = loader.next();
  CHECK(batch.bad_samples == 3);
  CHECK(std::all_of(batch.captions.begin(), batch.captions.end(),
                    [](const std::string& c) { return c == "good"; }));
  CHECK(loader.bad().by_reason == std::map<std::string, int64_t>{{"unreadable picture", 3}});
  CHECK_THAT(loader.bad().summary(), Contains("HTML"));

  const EvalData eval = load_eval_data(*dataset, EvaluationTransform(24), 2);
  CHECK(eval.count() == 30);
  CHECK(eval.images.size() == 30 * 24 * 24 * 3);
  CHECK(eval.bad.count == 3);
  CHECK_THROWS_WITH(load_eval_data(*dataset, EvaluationTransform(24), 2, 0, 0.05),
                    Contains("--max-bad-fraction"));
  CHECK(load_eval_data(*dataset, EvaluationTransform(24), 1, 7).count() == 7);
}

TEST_CASE("a picture is not flipped when its caption says left or right") {
  // Black on the left, white on the right, never cropped.
  class Halves final : public Dataset {
   public:
    int64_t size() const override { return 32; }
    Sample load(int64_t index) const override {
      Image image{.width = 16, .height = 16, .rgb = {}};
      for (int i = 0; i < 16 * 16; ++i) image.rgb.insert(image.rgb.end(), 3, i % 16 < 8 ? 0 : 255);
      return {.key = "x", .picture = std::move(image), .captions = {index % 2 == 0 ? "Leftwards" : "halves"}};
    }
    std::string describe() const override { return "halves"; }
    std::string key(int64_t) const override { return "x"; }
    int64_t picture_bytes(int64_t) const override { return 0; }
  } dataset;
  LoaderOptions o = options(32, 0);
  o.scale_min = 1;
  Loader loader(dataset, o);
  int flipped = 0;
  for (int i = 0; i < 4; ++i) {
    const Batch batch = loader.next();
    for (size_t place = 0; place < 32; ++place) {
      const bool is_flipped = batch.images.data<uint8_t>()[place * 16 * 16 * 3] > 128;
      if (batch.captions[place] == "Leftwards") CHECK_FALSE(is_flipped);
      flipped += is_flipped;
    }
  }
  CHECK(flipped > 10);  // of 64, each with probability 1/2
}

TEST_CASE("the loader trains on synthetic scenes") {
  const auto dataset = open_dataset("synthetic:shapes?size=32&count=64");
  Loader loader(*dataset, options(16, 2));
  const Batch batch = loader.next();
  CHECK(batch.bad_samples == 0);
  CHECK(std::set<std::string>(batch.captions.begin(), batch.captions.end()).size() > 10);
}
