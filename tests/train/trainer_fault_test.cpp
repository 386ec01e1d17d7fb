// What a run leaves when its loss stops being finite.
#include <catch2/catch.hpp>
#include <cmath>

#include "models/inference/checkpoint_folders.h"
#include "tests/support/command.h"
#include "train/loop/trainer.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

TrainConfig small_config(const fs::path& out) {
  TrainConfig config;
  config.model = "cuclip-tiny";
  config.train_data = "synthetic:shapes?size=32&count=64";
  config.batch_size = 16;
  config.epochs = 8;
  config.save_every_steps = 1;
  config.save_frequency = 0;
  config.threads = 2;
  config.delete_previous_checkpoint = true;
  config.out = out.string();
  return config;
}

TEST_CASE(
    "after a loss that stays not finite, the checkpoint that the message names is the newest and loads") {
  const TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.lr = 1e30;
  config.warmup = 2;  // the first step has the rate 0.5e30: its weights are finite, its features are not
  std::string message;
  try {
    Trainer(config, "").run([] { return 0; });
  } catch (const Error& error) {
    message = error.what();
  }
  std::vector<std::string> notes;
  const auto newest = latest_checkpoint(folder / "run", notes);
  REQUIRE(newest);
  CHECK(notes.empty());
  CHECK_THAT(message,
             Contains("10 steps in a row") && Contains("the last checkpoint is " + newest->string()));

  Context context(2);
  const ClipConfig shape = load_clip_config((*newest / "open_clip_config.json").string());
  ClipModel model(context, shape, ClipOptions{.dtype = DType::f32, .training = true, .recomputation = false});
  Optimizer optimizer(context, model.parameters(), {});
  const TrainState state = read_train_state(*newest);
  choose_by_encoder(config, /*resnet=*/false);
  check_settings(*newest, identity(config));
  load_checkpoint(*newest, state, model, optimizer);
  CHECK(state.skipped_steps == 0);
  for (const float value : model.parameters().values().to_floats()) REQUIRE(std::isfinite(value));

  // Resumed, it meets the same losses; the message still knows the checkpoint.
  config.resume = "latest";
  CHECK_THROWS_WITH(Trainer(config, "").run([] { return 0; }),
                    Contains("the last checkpoint is " + newest->string()));
  CHECK(latest_checkpoint(folder / "run", notes) == newest);
}

TEST_CASE("other settings than the checkpoint's are refused before the data is opened") {
  const TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.max_steps = 1;
  Trainer(config, "").run([] { return 0; });
  config.resume = "latest";
  config.lr *= 2;
  config.train_data = folder / "missing";
  CHECK_THROWS_WITH(Trainer(config, ""), Contains("other settings:\n  --lr: was '"));
}

}  // namespace
}  // namespace cuclip::test
