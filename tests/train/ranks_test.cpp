// Training on several ranks, here threads of one process: what a run computes does not depend on how many.
#include <signal.h>

#include <catch2/catch.hpp>
#include <map>

#include "core/file_io.h"
#include "core/together.h"
#include "models/inference/checkpoint_folders.h"
#include "tests/support/command.h"
#include "tests/support/thread_ranks.h"
#include "train/loop/trainer.h"

using namespace cuclip;
using Catch::Matchers::Contains;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

constexpr int64_t kLeaves = 8, kPairs = 32;  // of a step, on all ranks

// 6 steps in two epochs with everything that takes part in a step.
TrainConfig config_for(const fs::path& out, int ranks, int64_t accum_freq = 1) {
  TrainConfig config;
  config.model = "cuclip-tiny";
  config.train_data = "synthetic:shapes?size=32&count=100";
  config.val_data = "synthetic:shapes?size=32&count=20&seed=9";
  config.batch_size = kPairs / ranks / accum_freq;
  config.accum_freq = accum_freq;
  config.leaves = kLeaves;
  config.epochs = 2;
  config.lr = 1e-3;
  config.grad_clip_norm = 0.5;
  config.hflip = 0.5;
  config.caption_augment = 0.5;
  config.force_patch_dropout = 0.25;
  config.save_frequency = 0;
  config.threads = 1;
  config.out = out.string();
  return config;
}

// How rank 0 ended. A signal reaches one rank after some steps: -1, none.
TrainOutcome train(const TrainConfig& config, int ranks, int stop_after = -1, int stopped_rank = 0) {
  TrainOutcome outcome;
  test::run_ranks(ranks, [&](Communicator& communicator) {
    // Every rank's communicator lives in run_ranks.
    Trainer trainer(config, "# settings\n",
                    std::shared_ptr<Communicator>(&communicator, [](Communicator*) {}));
    int asked = 0;
    const TrainOutcome own = trainer.run([&] {
      return communicator.rank() == stopped_rank && stop_after >= 0 && asked++ >= stop_after ? SIGTERM : 0;
    });
    if (communicator.rank() == 0) outcome = own;
  });
  return outcome;
}

std::map<std::string, std::string> checkpoint_of(const fs::path& run, int64_t step) {
  std::map<std::string, std::string> files;
  for (const char* name :
       {"model.safetensors", "optimizer.safetensors", "tokenizer.txt.gz", "open_clip_config.json"}) {
    files[name] = read_file(run / "checkpoints" / fmt::format("step-{}", step) / name);
  }
  return files;
}

void require_same(const fs::path& a, const fs::path& b, int64_t step = 6) {
  const auto ours = checkpoint_of(a, step), theirs = checkpoint_of(b, step);
  for (const auto& [name, bytes] : ours) {
    INFO(name);
    REQUIRE((bytes == theirs.at(name)));
  }
}

}  // namespace

TEST_CASE("weights have the same bits for any number of ranks, and for batches that are accumulated") {
  for (const auto& change :
       {+[](TrainConfig&) {}, +[](TrainConfig& c) { c.precision = Precision::bf16; },
        +[](TrainConfig& c) { c.mask_duplicates = true; }, +[](TrainConfig& c) { c.lock_image = true; }}) {
    TemporaryFolder folder;
    const auto run = [&](const char* name, int ranks, int64_t accum_freq) {
      TrainConfig config = config_for(folder / name, ranks, accum_freq);
      change(config);
      REQUIRE(train(config, ranks).steps == 6);
    };
    run("alone", 1, 1);
    for (const int ranks : {2, 4, 8}) {
      CAPTURE(ranks);
      const std::string name = fmt::format("{} ranks", ranks);
      run(name.c_str(), ranks, 1);
      require_same(folder / "alone", folder / name);
      REQUIRE(read_file(folder / "alone/eval.jsonl") == read_file(folder / name / "eval.jsonl"));
    }
    run("accumulated", 1, 8);
    require_same(folder / "alone", folder / "accumulated");
    run("both", 2, 2);
    require_same(folder / "alone", folder / "both");
  }
}

TEST_CASE("a checkpoint of any number of ranks is resumed by any other") {
  TemporaryFolder folder;
  REQUIRE(train(config_for(folder / "whole", 4), 4).steps == 6);
  const fs::path parts = folder / "parts";
  REQUIRE(train(config_for(parts, 2), 2, 1).steps == 1);
  int64_t step = 1;
  for (const int ranks : {8, 1, 4, 2}) {
    CAPTURE(ranks);
    TrainConfig config = config_for(parts, ranks);
    config.resume = "latest";
    config.leaves = 0;  // the checkpoint's
    // The signal comes to another rank than the one that writes.
    const TrainOutcome outcome = train(config, ranks, 1, ranks - 1);
    REQUIRE(outcome.steps == ++step);
    REQUIRE(outcome.signal == SIGTERM);
  }
  TrainConfig config = config_for(parts, 1, 4);
  config.resume = "latest";
  REQUIRE(train(config, 1).steps == 6);
  require_same(folder / "whole", parts);
}

TEST_CASE("ranks, leaves and pairs that do not divide, or that differ from the checkpoint's, are refused") {
  TemporaryFolder folder;
  const auto refused = [&](const TrainConfig& config, int ranks, const std::string& why) {
    CHECK_THROWS_WITH(train(config, ranks), Contains(why));
    CHECK_THROWS_AS(train(config, ranks), InputError);
  };
  TrainConfig config = config_for(folder / "run", 2);
  config.leaves = 3;
  refused(config, 2, "--leaves 3: 2 ranks cannot have as many leaves each");
  config.leaves = 64;
  refused(config, 2,
          "--leaves 64: a step's pairs, --batch-size 16 x --accum-freq 1 x 2 ranks = 32, cannot be cut");
  config = config_for(folder / "run", 2);
  config.batch_size = 64;
  refused(config, 2, "100 usable pairs, a step needs --batch-size 64 x --accum-freq 1 x 2 ranks = 128");
  REQUIRE_FALSE(fs::exists(folder / "run"));

  REQUIRE(train(config_for(folder / "run", 2), 2, 1).steps == 1);
  config = config_for(folder / "run", 2);
  config.resume = "latest";
  refused(config, 4,
          "has steps of 32 pairs, --batch-size 16 x --accum-freq 1 x 4 ranks are 64: with this many "
          "ranks it is resumed with --batch-size 8");
  config.leaves = 4;
  refused(config, 2, "was made with --leaves 8, not 4: leave the option out to resume");
}

TEST_CASE("ranks with other settings or data than rank 0 are named, and leave nothing behind") {
  TemporaryFolder folder;
  const auto run = [&](const auto& change, const std::string& resolved) {
    test::run_ranks(4, [&](Communicator& ranks) {
      TrainConfig config = config_for(folder / "run", 4);
      if (ranks.rank() == 2) change(config);
      Trainer trainer(config, ranks.rank() == 2 ? resolved : "lr = 0.001\nseed = 0\n",
                      std::shared_ptr<Communicator>(&ranks, [](Communicator*) {}));
    });
  };
  CHECK_THROWS_WITH(
      run([](TrainConfig&) {}, "lr = 0.001\nseed = 1\n"),
      "the settings of all ranks must be the same: rank 2 has 'seed = 1' where rank 0 has 'seed = 0'");
  CHECK_THROWS_WITH(
      run([](TrainConfig& c) { c.train_data = "synthetic:shapes?size=32&count=101"; },
          "lr = 0.001\nseed = 0\n"),
      "the training data of all ranks must be the same: rank 2 has '101 pairs' where rank 0 has '100 pairs'");
  CHECK_THROWS_WITH(run([](TrainConfig& c) { c.train_data = "nowhere"; }, "lr = 0.001\nseed = 0\n"),
                    Contains("nowhere"));
  CHECK_FALSE(fs::exists(folder / "run"));
}

TEST_CASE("a checkpoint that cannot be written ends all ranks") {
  TemporaryFolder folder;
  TrainConfig config = config_for(folder / "run", 2);
  config.save_every_steps = 2;
  std::vector<std::string> failures(2);
  test::run_ranks(2, [&](Communicator& ranks) {
    Trainer trainer(config, "", std::shared_ptr<Communicator>(&ranks, [](Communicator*) {}));
    if (ranks.rank() == 0) {
      fs::remove_all(folder / "run/checkpoints");
      write_file_atomic(folder / "run/checkpoints", "a file where a folder should be");
    }
    try {
      trainer.run([] { return 0; });
    } catch (const OtherRankFailed& other) {
      failures[1] = other.what();
    } catch (const Error& error) {
      failures[static_cast<size_t>(ranks.rank())] = error.what();
    }
  });
  CHECK_THAT(failures[0], Contains("checkpoints"));
  CHECK(failures[1] == "rank 0 has failed");
}
