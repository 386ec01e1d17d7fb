#include "models/inference/model_source.h"

#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "models/clip/weights.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"
#include "train/loop/checkpoint.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

struct Fixture {
  Fixture() { randomise(model); }

  // A checkpoint of the present weights as step N of the run.
  void save_step(int64_t step) {
    save_checkpoint(run, model, optimizer, tiny_tokenizer(), {.step = step}, {{"model", "tiny"}});
  }
  bool same_weights(const LoadedModel& loaded) const {
    return loaded.model->parameters().values().to_floats() == model.parameters().values().to_floats();
  }

  Context context{1};
  ClipModel model{context, tiny_config(), {.training = true}};
  Optimizer optimizer{context, model.parameters(), {}};
  TemporaryFolder folder;
  fs::path run = folder / "run";
};

TEST_CASE_METHOD(Fixture, "a run's folder gives its latest checkpoint, a checkpoint's folder itself") {
  save_step(1);
  randomise(model);
  save_step(2);
  for (const fs::path& spec :
       {run, run / "checkpoints/step-2", run / "checkpoints/step-2/model.safetensors"}) {
    const LoadedModel loaded = load_model(context, spec);
    CHECK(same_weights(loaded));
    CHECK(loaded.trained);
    CHECK(loaded.tokenizer().vocab_size() == 519);
    CHECK(loaded.model->config() == model.config());
    CHECK_THAT(loaded.description, Contains("step-2"));
  }
  CHECK_FALSE(same_weights(load_model(context, run / "checkpoints/step-1")));
}

TEST_CASE_METHOD(Fixture, "a truncated latest checkpoint is passed over for the one before it") {
  save_step(1);
  save_step(2);
  const fs::path weights = run / "checkpoints/step-2/model.safetensors";
  fs::resize_file(weights, fs::file_size(weights) / 2);
  const LoadedModel loaded = load_model(context, run);
  CHECK(same_weights(loaded));
  CHECK_THAT(loaded.description, Contains("step-1"));
  REQUIRE(loaded.notes.size() == 1);
  CHECK_THAT(loaded.notes[0], Contains("step-2 is damaged, using the one before it"));
  CHECK(load_model(context, run / "checkpoints/step-1").notes.empty());
  CHECK_THROWS_WITH(load_model(context, run / "checkpoints/step-2"), Contains("model.safetensors"));
}

TEST_CASE_METHOD(Fixture, "weights alone need a configuration, and for texts a tokeniser") {
  save_weights(model, folder / "model.safetensors");
  CHECK_THROWS_WITH(load_model(context, folder / "model.safetensors"),
                    Contains("open_clip_config.json") && Contains("--config-name"));
  folder.write("tiny.json", clip_config_json(model.config()));
  const LoadedModel loaded = load_model(context, folder / "model.safetensors",
                                        {.tokenizer = "", .config_name = folder / "tiny.json"});
  CHECK(same_weights(loaded));
  CHECK_THROWS_WITH(loaded.tokenizer(), Contains("--tokenizer"));
  tiny_tokenizer().save(folder / "merges.txt");
  CHECK(load_model(context, folder / "model.safetensors",
                   {.tokenizer = "", .config_name = folder / "tiny.json"})
            .tokenizer()
            .vocab_size() == 519);
}

TEST_CASE_METHOD(Fixture, "a configuration for larger pictures than the weights' is used, with a note") {
  save_weights(model, folder / "model.safetensors");
  const std::string config = folder.write("open_clip_config.json", clip_config_json(tiny_config(24)));
  for (const fs::path& spec : {folder / "model.safetensors", fs::path(folder.path())}) {
    const LoadedModel loaded = load_model(context, spec);
    REQUIRE(loaded.notes.size() == 1);
    CHECK_THAT(loaded.notes[0], Contains("model.safetensors") && Contains("resampled from 3 x 3 to 6 x 6"));
  }
  ClipConfig wide = tiny_config();
  wide.embed_dim += 1;
  folder.write("wide.json", clip_config_json(wide));
  CHECK_THROWS_WITH(load_model(context, folder / "model.safetensors",
                               {.tokenizer = "", .config_name = folder / "wide.json"}),
                    Contains("do not fit the model that " + (folder / "wide.json").string() + " describes"));
  folder.write("open_clip_config.json", clip_config_json(wide));
  CHECK_THROWS_WITH(load_model(context, folder / "model.safetensors"),
                    Contains("do not fit the model that " + config + " describes"));
}

TEST_CASE_METHOD(Fixture, "a tokeniser of another vocabulary is refused") {
  save_step(1);
  Tokenizer(std::vector<Merge>{}).save(folder / "bytes.txt.gz");
  CHECK_THROWS_WITH(load_model(context, run, {.tokenizer = folder / "bytes.txt.gz", .config_name = ""}),
                    Contains("519") && Contains("514"));
}

TEST_CASE_METHOD(Fixture, "a name or a configuration gives an untrained model, decided by the seed") {
  folder.write("tiny.json", clip_config_json(model.config()));
  const LoadedModel first = load_model(context, folder / "tiny.json");
  CHECK_FALSE(first.trained);
  CHECK_THAT(first.description, Contains("untrained"));
  REQUIRE(first.notes.size() == 1);
  CHECK_THAT(first.notes[0], Contains("tiny.json is untrained: its answers mean nothing"));
  CHECK(first.tokenizer().vocab_size() == 514);
  const auto values = [](const LoadedModel& m) { return m.model->parameters().values().to_floats(); };
  CHECK(values(first) == values(load_model(context, folder / "tiny.json")));
  CHECK(values(first) !=
        values(load_model(context, folder / "tiny.json", {.tokenizer = "", .config_name = "", .seed = 1})));
  CHECK(load_model(context, "cuclip-tiny").model->config().vision.image_size == 32);
}

TEST_CASE_METHOD(Fixture, "what is not a model is refused with what was expected") {
  fs::create_directories(folder / "empty");
  fs::create_directories(folder / "fresh/checkpoints");
  folder.write("model.pt", "PK\x03\x04 pickled");
  folder.write("model.safetensors", "<html>not found</html>");
  folder.write("open_clip_config.json", clip_config_json(model.config()));
  CHECK_THROWS_WITH(load_model(context, folder / "empty"), Contains("model.safetensors"));
  CHECK_THROWS_WITH(load_model(context, folder / "fresh"), Contains("no checkpoint"));
  CHECK_THROWS_WITH(load_model(context, folder / "model.pt"), Contains("safetensors"));
  CHECK_THROWS_WITH(load_model(context, folder / "model.safetensors"), Contains("model.safetensors"));
  CHECK_THROWS_WITH(load_model(context, folder / "missing.safetensors"), Contains("no such file"));
  CHECK_THROWS_WITH(load_model(context, "ViT-Z-99"), Contains("ViT-B-32"));
  CHECK_THROWS_AS(load_model(context, ""), InputError);
}

}  // namespace
}  // namespace cuclip::test
