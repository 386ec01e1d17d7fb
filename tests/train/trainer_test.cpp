#include "train/loop/trainer.h"

#include <signal.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <sstream>

#include "core/file_io.h"
#include "models/inference/checkpoint_folders.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

using namespace cuclip;
using test::TemporaryFolder;
namespace fs = std::filesystem;

namespace {

// 8 steps per epoch, 24 in all; the vocabulary comes from the captions.
TrainConfig small_config(const fs::path& out) {
  TrainConfig config;
  config.model = "cuclip-tiny";
  config.train_data = "synthetic:shapes?size=32&count=260";
  config.batch_size = 32;
  config.epochs = 3;
  config.lr = 1e-3;
  config.save_frequency = 0;
  config.threads = 2;
  config.out = out.string();
  return config;
}

TrainOutcome train(const TrainConfig& config, int stop_after = -1) {
  Trainer trainer(config, "# settings\n");
  int asked = 0;
  return trainer.run([&] { return stop_after >= 0 && asked++ >= stop_after ? SIGTERM : 0; });
}

bool same_file(const fs::path& a, const fs::path& b) { return read_file(a) == read_file(b); }

std::vector<nlohmann::json> lines_of(const fs::path& file) {
  std::vector<nlohmann::json> lines;
  std::istringstream text(read_file(file));
  for (std::string line; std::getline(text, line);) lines.push_back(nlohmann::json::parse(line));
  return lines;
}

void require_same_checkpoint(const fs::path& a, const fs::path& b) {
  for (const char* file :
       {"model.safetensors", "optimizer.safetensors", "tokenizer.txt.gz", "open_clip_config.json"}) {
    INFO(file);
    REQUIRE(same_file(a / file, b / file));
  }
}

void truncate(const fs::path& file) { fs::resize_file(file, fs::file_size(file) / 2); }

}  // namespace

TEST_CASE("a run that is stopped in the middle of an epoch continues bit for bit, on any number of threads") {
  TemporaryFolder folder;
  REQUIRE(train(small_config(folder / "whole")).steps == 24);

  TrainConfig config = small_config(folder / "parts");
  const TrainOutcome first = train(config, 5);
  REQUIRE(first.steps == 5);
  REQUIRE(first.signal == SIGTERM);
  config.resume = "latest";
  config.threads = 1;
  config.workers = 2;
  REQUIRE(train(config, 6).steps == 11);
  config.threads = 3;
  config.workers = 0;
  REQUIRE(train(config).steps == 24);
  require_same_checkpoint(folder / "whole/checkpoints/step-24", folder / "parts/checkpoints/step-24");
}

TEST_CASE("gradient accumulation resumes in the middle of an epoch too") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "whole");
  config.accum_freq = 3;  // 2 steps per epoch, 2 batches left over
  REQUIRE(train(config).steps == 6);
  config.out = (folder / "parts").string();
  REQUIRE(train(config, 3).steps == 3);
  config.resume = "latest";
  REQUIRE(train(config).steps == 6);
  require_same_checkpoint(folder / "whole/checkpoints/step-6", folder / "parts/checkpoints/step-6");
}

TEST_CASE("a ResNet resumes with its running statistics, and has no patches to leave out") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "whole");
  config.model = folder / "resnet.json";
  ClipConfig resnet = test::tiny_resnet_config();
  resnet.vision.image_size = 32;
  write_file_atomic(config.model, clip_config_json(resnet));
  config.accum_freq = 2;
  config.batch_size = 16;
  REQUIRE(train(config).steps == 24);

  config.out = folder / "parts";
  REQUIRE(train(config, 5).steps == 5);
  config.resume = "latest";
  REQUIRE(train(config).steps == 24);
  require_same_checkpoint(folder / "whole/checkpoints/step-24", folder / "parts/checkpoints/step-24");

  config = small_config(folder / "dropout");
  config.model = folder / "resnet.json";
  config.force_patch_dropout = 0.5;
  CHECK_THROWS_WITH(train(config),
                    "--force-patch-dropout 0.5: a modified ResNet has no patches to leave out");
}

TEST_CASE("lines that an interrupted run logged after its last checkpoint are not there twice") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.log_every_n_steps = 1;
  train(config, 4);
  std::ofstream(folder / "run/metrics.jsonl", std::ios::app) << "{\"step\": 5}\n{\"step\": 6, \"lo";  // torn
  config.resume = "latest";
  config.max_steps = 7;
  train(config);
  std::vector<int64_t> steps;
  for (const auto& line : lines_of(folder / "run/metrics.jsonl"))
    steps.push_back(line["step"].get<int64_t>());
  REQUIRE(steps == std::vector<int64_t>{1, 2, 3, 4, 5, 6, 7});
}

TEST_CASE("a truncated checkpoint is passed over for the one before it") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.save_every_steps = 4;
  config.max_steps = 8;
  train(config);
  for (const char* file : {"model.safetensors", "optimizer.safetensors", "state.json", "tokenizer.txt.gz"}) {
    INFO(file);
    const fs::path damaged = folder / "run/checkpoints/step-8" / file;
    const std::string good = read_file(damaged);
    truncate(damaged);
    std::vector<std::string> notes;
    REQUIRE(latest_checkpoint(folder / "run", notes) == folder / "run/checkpoints/step-4");
    REQUIRE(notes.size() == 1);
    REQUIRE_THAT(notes[0], Catch::Contains("step-8 is damaged"));
    write_file_atomic(damaged, good);
  }
  for (const char* step : {"step-4", "step-8"})
    truncate(folder / "run/checkpoints" / step / "model.safetensors");
  std::vector<std::string> notes;
  REQUIRE_THROWS_WITH(latest_checkpoint(folder / "run", notes), Catch::Contains("none of the checkpoints"));
}

TEST_CASE("resuming with other settings lists every difference") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  train(config, 1);
  config.resume = "latest";
  config.lr = 2e-3;
  config.seed = 7;
  REQUIRE_THROWS_WITH(train(config), Catch::Contains("--lr: was '0.001', is '0.002'") &&
                                         Catch::Contains("--seed: was '0', is '7'"));
}

TEST_CASE("a setting that is younger than a checkpoint had its default there") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  train(config, 1);
  const fs::path file = folder / "run/checkpoints/step-1/state.json";
  std::string state = read_file(file);
  const std::string setting = "\"caption-augment\": \"0\"";
  REQUIRE(state.find(setting) != state.npos);
  state.replace(state.find(setting), setting.size(), "\"another\": \"0\"");
  write_file_atomic(file, state);
  config.resume = "latest";
  config.caption_augment = 0.5;
  REQUIRE_THROWS_WITH(train(config), Catch::Contains("--caption-augment: was '0', is '0.5'"));
  config.caption_augment = 0;
  CHECK_NOTHROW(train(config, 2));
}

TEST_CASE("a folder with checkpoints is not trained into again by accident") {
  TemporaryFolder folder;
  train(small_config(folder / "run"), 1);
  REQUIRE_THROWS_WITH(train(small_config(folder / "run")), Catch::Contains("--resume latest"));
}

TEST_CASE("two runs cannot share a folder") {
  TemporaryFolder folder;
  const RunFolder first(folder / "run");
  REQUIRE_THROWS_WITH(RunFolder(folder / "run"), Catch::Contains("in use by another process"));
}

TEST_CASE("a folder that cannot be written is refused before anything is trained") {
  TemporaryFolder folder;
  write_file_atomic(folder / "file", "not a folder");
  REQUIRE_THROWS_WITH(train(small_config(folder / "file/run")),
                      Catch::Contains("cannot create the run folder"));
  REQUIRE_THROWS_WITH(RunFolder(folder / "run").require_space(int64_t{1} << 60),
                      Catch::Contains("free on that disk"));
}

TEST_CASE("a loss that stays not finite stops the run and saves nothing of it") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.lr = 1e30;
  config.warmup = 0;
  config.save_every_steps = 1;
  REQUIRE_THROWS_WITH(train(config), Catch::Contains("10 steps in a row"));
  int64_t skipped = 0;
  for (const auto& line : lines_of(folder / "run/metrics.jsonl")) skipped += line["loss"].is_null();
  REQUIRE(skipped >= 10);
  for (const auto& entry : fs::directory_iterator(folder / "run/checkpoints")) {
    INFO(entry.path().string());  // only steps whose loss was finite
    REQUIRE(entry.path().filename() == "step-1");
  }
}

TEST_CASE("a run that ends with skipped steps saves the weights from before them, and keeps what it had") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.lr = 1e30;
  config.warmup = 0;
  config.max_steps = 5;
  config.save_every_steps = 1;
  config.delete_previous_checkpoint = true;
  Trainer trainer(config, "");
  const TrainOutcome outcome = trainer.run([] { return 0; });
  CHECK(outcome.skipped_at_end == 4);
  CHECK(outcome.saved_step == 5);
  const fs::path checkpoints = folder / "run/checkpoints";
  REQUIRE(fs::exists(checkpoints / "step-1"));
  CHECK_FALSE(fs::exists(checkpoints / "step-3"));
  CHECK(read_file(checkpoints / "step-5/model.safetensors") ==
        read_file(checkpoints / "step-1/model.safetensors"));
  CHECK(read_train_state(checkpoints / "step-5").optimizer_steps == 1);
}

TEST_CASE("a checkpoint whose state cannot be is passed over, with the reason") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.save_every_steps = 2;
  config.max_steps = 4;
  train(config);
  const fs::path file = folder / "run/checkpoints/step-4/state.json";
  const std::string good = read_file(file);
  const std::vector<std::array<std::string, 3>> changes = {
      {"\"lr\": \"", "\"lr\": 5, \"was\": \"", "settings"},
      {"\"optimizer_steps\"", "\"optimizer_step\"", "\"optimizer_steps\""},
      {"\"optimizer_steps\": 4", "\"optimizer_steps\": \"4\"", "\"optimizer_steps\""},
      {"\"optimizer_steps\": 4", "\"optimizer_steps\": -1", "\"optimizer_steps\""},
      {"\"optimizer_steps\": 4", "\"optimizer_steps\": 5", "from 0 to 4"},
      {"\"step\": 4", "\"step\": -1", "\"step\", 4, found -1"},
      {"\"step\": 4", "\"step\": 1000000000000000000", "\"step\", 4"},
      {"\"step\": 4", "\"step\": 4, \"step\": 4", "twice"},
      {"\"epoch\": 0", "\"epoch\": 9000000000000000000", "\"epoch\""},
      {"\"epoch\": 0", "\"epoch\": -5", "\"epoch\""},
      {"\"samples_seen\": ", "\"samples_seen\": -", "\"samples_seen\""},
      {"\"skipped_steps\": 0", "\"skipped_steps\": 0.5", "\"skipped_steps\""},
      {"\"train_seconds\": ", "\"train_seconds\": -", "\"train_seconds\""},
      {"\"names\": \"", "\"names\": \"x", "\"names\""},
      {"\"pairs\": ", "\"pairs\": -", "\"pairs\""}};
  for (const auto& [from, to, reason] : changes) {
    INFO(from << " -> " << to);
    std::string damaged = good;
    REQUIRE(damaged.find(from) != damaged.npos);
    damaged.replace(damaged.find(from), from.size(), to);
    write_file_atomic(file, damaged);
    std::vector<std::string> notes;
    CHECK(latest_checkpoint(folder / "run", notes, read_train_state) == folder / "run/checkpoints/step-2");
    REQUIRE(notes.size() == 1);
    CHECK_THAT(notes[0], Catch::Contains(file.string() + ": ") && Catch::Contains(reason));
    CHECK_THAT(notes[0], !Catch::Contains("json.exception"));
  }
}

TEST_CASE("too few pairs for a step are an error that says so") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.batch_size = 512;
  REQUIRE_THROWS_WITH(train(config), Catch::Contains("260 usable pairs"));
}

TEST_CASE("a run writes its metrics, its evaluation and its newest checkpoint's name") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "run");
  config.val_data = "synthetic:shapes?size=32&count=40&split=val";
  config.eval_every_steps = 8;
  config.save_frequency = 1;
  config.delete_previous_checkpoint = true;
  train(config);
  const auto metrics = lines_of(folder / "run/metrics.jsonl");
  for (const char* key :
       {"step", "loss", "lr", "grad_norm", "logit_scale", "samples_per_second", "data_wait_share"}) {
    INFO(key);
    REQUIRE(metrics.front().contains(key));
  }
  REQUIRE(metrics.back()["step"] == 24);
  REQUIRE(lines_of(folder / "run/eval.jsonl").size() == 3);
  REQUIRE(read_file(folder / "run/latest") == "step-24\n");
  REQUIRE_FALSE(fs::exists(folder / "run/checkpoints/step-16"));
  REQUIRE(read_file(folder / "run/config.toml") == "# settings\n");
}

TEST_CASE("bf16 trains as fp32 does, within its precision") {
  TemporaryFolder folder;
  TrainConfig config = small_config(folder / "f32");
  train(config);
  config.out = (folder / "bf16").string();
  config.precision = Precision::bf16;
  train(config);
  const double f32 = lines_of(folder / "f32/metrics.jsonl").back()["loss"].get<double>();
  const double bf16 = lines_of(folder / "bf16/metrics.jsonl").back()["loss"].get<double>();
  // Rounding errors of 2^-9 grow over 24 steps of a chaotic iteration; both are near ln 32 = 3.47 minus what
  // was learned.
  REQUIRE(bf16 == Approx(f32).margin(0.15));
}
