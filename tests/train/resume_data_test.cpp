// Resuming with the data that the run was trained on, and with others.
#include <fmt/format.h>

#include <catch2/catch.hpp>
#include <filesystem>

#include "core/file_io.h"
#include "tests/support/command.h"
#include "tests/support/file_events.h"
#include "tests/train/data_fixtures.h"
#include "train/data/synthetic.h"
#include "train/draw/png.h"
#include "train/loop/trainer.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using cuclip::test::FileEvents;
using cuclip::test::TarBytes;
using cuclip::test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kPairs = 24;

struct Pairs {
  Pairs() {
    const auto scenes = make_synthetic_dataset({.image_size = 32, .count = kPairs + 8});
    for (int64_t i = 0; i < scenes->size(); ++i) {
      Sample scene = scenes->load(i);
      pictures.push_back(encode_png(std::get<Image>(scene.picture)));
      captions.push_back(scene.captions[0]);
    }
    for (size_t i = 0; i < kPairs; ++i) write("data", i);
  }

  static std::string name(size_t i) { return fmt::format("{:02}", i); }
  void write(const std::string& to, size_t i) const {
    folder.write(to + "/" + name(i) + ".png", pictures[i]);
    folder.write(to + "/" + name(i) + ".txt", captions[i]);
  }
  void remove(size_t i) const {
    fs::remove(folder / ("data/" + name(i) + ".png"));
    fs::remove(folder / ("data/" + name(i) + ".txt"));
  }

  // 3 steps per epoch, 12 in all.
  TrainConfig config(const std::string& run = "run") const {
    TrainConfig c;
    c.model = "cuclip-tiny";
    c.train_data = folder / "data";
    c.batch_size = 8;
    c.epochs = 4;
    c.lr = 1e-3;
    c.save_frequency = 0;
    c.threads = 1;
    c.out = folder / run;
    return c;
  }

  int64_t train(TrainConfig c, int64_t steps = 0) const {
    c.max_steps = steps;
    return Trainer(c, "").run([] { return 0; }).steps;
  }
  int64_t resume(TrainConfig c, bool allow_changed_data = false, int64_t steps = 0) const {
    c.resume = "latest";
    c.allow_changed_data = allow_changed_data;
    return train(c, steps);
  }

  std::string weights(const std::string& run, int64_t step) const {
    return read_file(folder / fmt::format("{}/checkpoints/step-{}/model.safetensors", run, step));
  }
  nlohmann::json state(int64_t step) const {
    return nlohmann::json::parse(read_file(folder / fmt::format("run/checkpoints/step-{}/state.json", step)));
  }

  TemporaryFolder folder;
  std::vector<std::string> pictures, captions;
};

}  // namespace

TEST_CASE("a fingerprint tells names, captions and sizes apart, and nothing else") {
  const TemporaryFolder folder;
  const auto print = [&](const std::string& tar) {
    return open_dataset(folder.write("s.tar", tar))->fingerprint();
  };
  const auto pair = [](const char* key, const char* picture, const char* caption) {
    return TarBytes().file(std::string(key) + ".jpg", picture).file(std::string(key) + ".txt", caption);
  };
  const std::string b = pair("b", "B", "b").finish();
  const DatasetFingerprint one = print(pair("a", "A", "a").bytes() + b);
  CHECK(one.pairs == 2);
  CHECK(difference(one, print(pair("a", "A", "a").bytes() + b)).empty());
  CHECK(difference(one, print(pair("a", "A", " a\n").file("x.cls", "7").bytes() + b)).empty());
  CHECK(difference(one, print(pair("a", "A", "other").bytes() + b)) == "the captions of the pairs differ");
  CHECK(difference(one, print(pair("a", "A", "ab").bytes() + pair("b", "B", "").finish())) ==
        "the captions of the pairs differ");
  CHECK(difference(one, print(pair("a", "AA", "a").bytes() + b)) ==
        "the sizes of the pictures' files differ");
  CHECK(difference(one, print(pair("a", "AA", "c").bytes() + b)) ==
        "the captions of the pairs differ, the sizes of the pictures' files differ");
  CHECK(difference(one, print(pair("c", "A", "a").bytes() + b)) ==
        "the pairs have different names or a different order");
  CHECK(difference(one, print(pair("b", "B", "b").bytes() + pair("a", "A", "a").finish())) ==
        "the pairs have different names or a different order");
  CHECK(difference(one, print(b)) == "1 pair fewer (1 instead of 2)");
  CHECK(difference(print(b), one) == "1 pair more (2 instead of 1)");
  // Checkpoints have it: another value would say that the data has changed.
  CHECK(one == DatasetFingerprint{.pairs = 2,
                                  .names = 0xcb8fdf6b6b968b27,
                                  .captions = 0x995f65023d1cd458,
                                  .sizes = 0x9d4dc354e8638f03});
}

TEST_CASE("a fingerprint does not depend on the number of threads, and no pair is left out") {
  const TemporaryFolder folder;
  const auto shard = [&](const char* name, int pairs, int changed) {
    TarBytes tar;
    for (int i = 0; i < pairs; ++i) {
      tar.file(fmt::format("{:06}.jpg", i), "J");
      tar.file(fmt::format("{:06}.txt", i), i == changed ? "\xff" : fmt::format("picture {}", i));
    }
    return folder.write(name, tar.finish()).string();
  };
  const std::string small = shard("small.tar", 37, -1), large = shard("large.tar", 5000, -1);
  const auto dataset = open_dataset(small + "::" + large + "::synthetic:shapes?size=32&count=300");
  const DatasetFingerprint one = dataset->fingerprint(1);
  CHECK(one.pairs == 5337);
  for (const int threads : {2, 3, 5}) CHECK(dataset->fingerprint(threads) == one);
  for (const int changed : {0, 255, 256, 2047, 2048, 4999}) {
    INFO(changed);
    const auto other = open_dataset(small + "::" + shard("other.tar", 5000, changed) +
                                    "::synthetic:shapes?size=32&count=300");
    CHECK(difference(one, other->fingerprint(2)) == "the captions of the pairs differ");
  }
}

TEST_CASE("a fingerprint does not open a shard for each of its captions") {
  const TemporaryFolder folder;
  constexpr int kPairs = 1000;
  TarBytes tar;
  for (int i = 0; i < kPairs; ++i)
    tar.file(fmt::format("{:06}.jpg", i), "J").file(fmt::format("{:06}.txt", i), "a picture");
  const std::string shard = folder.write("s.tar", tar.finish());
  const auto dataset = open_dataset(shard);
  FileEvents events(shard, IN_OPEN | IN_CLOSE_NOWRITE);  // of both kinds, because equal ones become one
  dataset->captions(0);
  CHECK(events.count(IN_OPEN) == 1);
  dataset->fingerprint(1);
  const int64_t opened = events.count(IN_OPEN);
  CHECK(opened >= 1);
  CHECK(opened <= 8);
}

TEST_CASE("every kind of source has a fingerprint, of what it holds and not of where it lies") {
  const TemporaryFolder folder;
  const auto same = [&](const std::string& a, const std::string& b) {
    return difference(open_dataset(a)->fingerprint(), open_dataset(b)->fingerprint()).empty();
  };
  for (const char* name : {"d", "moved"}) {
    folder.write(std::string(name) + "/a.jpg", "A");
    folder.write(std::string(name) + "/a.txt", "a");
    folder.write(std::string(name) + "/pairs.csv", "filepath,title\na.jpg,a\n");
  }
  CHECK(same(folder / "d", folder / "moved"));
  CHECK(same(folder / "d/pairs.csv", folder / "moved/pairs.csv"));
  folder.write("moved/a.jpg", "longer");
  CHECK_FALSE(same(folder / "d", folder / "moved"));
  CHECK_FALSE(same(folder / "d/pairs.csv", folder / "moved/pairs.csv"));

  const std::string shapes = "synthetic:shapes?size=32&count=20";
  CHECK(same(shapes, shapes + "&seed=1&split=train"));
  for (const char* other :
       {"synthetic:shapes?size=32&count=21", "synthetic:shapes?size=33&count=20",
        "synthetic:shapes?size=32&count=20&seed=2", "synthetic:shapes?size=32&count=20&split=val"})
    CHECK_FALSE(same(shapes, other));
}

TEST_CASE("a run continues bit for bit where its data was moved, and says where it was changed") {
  const Pairs pairs;
  REQUIRE(pairs.train(pairs.config("whole")) == 12);
  REQUIRE(pairs.train(pairs.config(), 5) == 5);
  fs::rename(pairs.folder / "data", pairs.folder / "elsewhere");
  TrainConfig moved = pairs.config();
  moved.train_data = pairs.folder / "elsewhere";
  REQUIRE(pairs.resume(moved) == 12);
  CHECK(pairs.weights("run", 12) == pairs.weights("whole", 12));
  pairs.folder.write("elsewhere/00.txt", "other words");
  CHECK_THROWS_WITH(pairs.resume(moved), Contains("the captions of the pairs differ") &&
                                             Contains("step-12") && Contains("--allow-changed-data"));
}

TEST_CASE("changed data is refused at every step, naming the change, and nothing is written") {
  const Pairs pairs;
  for (const int64_t step : {4, 5}) {
    TrainConfig config = pairs.config(fmt::format("run{}", step));
    REQUIRE(pairs.train(config, step) == step);
    pairs.remove(3);
    CHECK_THROWS_WITH(pairs.resume(config), Contains("1 pair fewer (23 instead of 24)"));
    pairs.write("data", 3);
    pairs.folder.write("data/03.png", pairs.pictures[3] + "x");
    CHECK_THROWS_WITH(pairs.resume(config), Contains("the sizes of the pictures' files differ"));
    pairs.write("data", 3);
    CHECK(pairs.resume(config, false, step + 1) == step + 1);
  }
}

TEST_CASE(
    "allowed to, a run starts the next epoch on the changed data, and continues from there bit for bit") {
  const Pairs pairs;
  REQUIRE(pairs.train(pairs.config(), 4) == 4);  // one step into the second epoch
  for (size_t i = kPairs; i < kPairs + 8; ++i) pairs.write("data", i);
  fs::copy(pairs.folder / "run", pairs.folder / "again", fs::copy_options::recursive);
  // 4 steps, and 4 in each of the two epochs that are left.
  REQUIRE(pairs.resume(pairs.config(), true) == 12);
  CHECK(pairs.state(12)["data"]["pairs"] == 32);
  CHECK(pairs.state(12)["epoch"] == 4);

  REQUIRE(pairs.resume(pairs.config("again"), true, 5) == 5);
  REQUIRE(pairs.resume(pairs.config("again"), false, 11) == 11);  // the flag is for once
  REQUIRE(pairs.resume(pairs.config("again"), true) == 12);       // and means nothing where nothing changed
  CHECK(pairs.weights("again", 12) == pairs.weights("run", 12));
}

TEST_CASE("the epochs of changed data are counted from where it first appeared") {
  const Pairs pairs;
  REQUIRE(pairs.train(pairs.config(), 4) == 4);
  for (size_t i = kPairs; i < kPairs + 8; ++i) pairs.write("data", i);
  TrainConfig config = pairs.config();
  config.save_frequency = 1;
  REQUIRE(pairs.resume(config, true) == 12);
  for (const int64_t step : {8, 12})
    CHECK(fs::exists(pairs.folder / fmt::format("run/checkpoints/step-{}", step)));
  CHECK_FALSE(fs::exists(pairs.folder / "run/checkpoints/step-6"));  // an epoch's end by the old count
}

TEST_CASE("a checkpoint without a fingerprint is resumed, unless its place does not exist in the data") {
  const Pairs pairs;
  const auto forget = [&](int64_t step) {
    const fs::path file = pairs.folder / fmt::format("run/checkpoints/step-{}/state.json", step);
    nlohmann::json state = nlohmann::json::parse(read_file(file));
    for (const char* key : {"data", "data_step", "data_epoch"}) REQUIRE(state.erase(key) == 1);
    write_file_atomic(file, state.dump());
  };
  REQUIRE(pairs.train(pairs.config("whole")) == 12);
  REQUIRE(pairs.train(pairs.config(), 5) == 5);
  forget(5);
  for (size_t i = 0; i < 9; ++i) pairs.remove(i);  // one step per epoch: there is no third batch
  CHECK_THROWS_WITH(pairs.resume(pairs.config()),
                    Contains("the number of steps per epoch has changed; it is now 1"));
  for (size_t i = 0; i < 9; ++i) pairs.write("data", i);
  REQUIRE(pairs.resume(pairs.config()) == 12);
  CHECK(pairs.weights("run", 12) == pairs.weights("whole", 12));
  CHECK(pairs.state(12)["data"]["pairs"] == kPairs);
}

TEST_CASE("--allow-changed-data on the command line") {
  const Pairs pairs;
  const auto train = [&](std::vector<std::string> more) {
    more.insert(more.begin(), {"train", "--model", "cuclip-tiny", "--train-data", pairs.folder / "data",
                               "--out", pairs.folder / "run", "--batch-size", "8", "--epochs", "4"});
    return test::run_cuclip(more);
  };
  REQUIRE(train({"--max-steps", "5"}).exit_code == 0);
  pairs.remove(7);
  const test::CommandResult refused = train({"--resume", "latest"});
  CHECK(refused.exit_code == 2);
  CHECK_THAT(refused.err, Contains("1 pair fewer (23 instead of 24)") && Contains("--allow-changed-data"));
  const test::CommandResult allowed = train({"--resume", "latest", "--allow-changed-data"});
  INFO(allowed.err);
  CHECK(allowed.exit_code == 0);
  CHECK_THAT(allowed.err, Contains("1 pair fewer (23 instead of 24); continuing with epoch 3 of 4") &&
                              Contains("will not match an uninterrupted run bit for bit"));
}
