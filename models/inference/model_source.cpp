#include "models/inference/model_source.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <span>
#include <utility>

#include "core/file_io.h"
#include "kernels/tiles/tile_product.h"
#include "models/clip/hf_config.h"
#include "models/clip/weights.h"
#include "models/files/weight_files.h"
#include "models/inference/checkpoint_folders.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

// The first of `names` that is in `folder`; empty if none is.
fs::path first_of(const fs::path& folder, std::span<const char* const> names) {
  for (const char* name : names) {
    if (path_exists(folder / name)) return folder / name;
  }
  return {};
}

bool is_run_folder(const fs::path& folder) {
  return path_exists(folder / "latest") || is_folder(folder / "checkpoints");
}

// Throws InputError for one of several files of weights, if what lists them is beside it.
void refuse_shard(const fs::path& file) {
  if (file.filename().string().find("-of-") == std::string::npos) return;
  const fs::path weights = weights_in(file.parent_path());
  CUCLIP_CHECK(!weights.string().ends_with(kWeightIndexEnding),
               "{}: this is one of several files that make up the weights; expected their folder or {}",
               file.string(), weights.string());
}

void refuse_pickled(const fs::path& folder) {
  constexpr const char* kPickled[] = {"pytorch_model.bin", "pytorch_model.bin.index.json",
                                      "open_clip_pytorch_model.bin", "open_clip_pytorch_model.pt"};
  const fs::path pickled = first_of(folder, kPickled);
  CUCLIP_CHECK(pickled.empty(),
               "{}: pickled weights are not read, since they can run code: expected model.safetensors "
               "(transformers' save_pretrained writes it)",
               pickled.string());
}

struct FoundConfig {
  ClipConfig config;
  std::string source;  // a built-in name or a file
};

FoundConfig named_config(const std::string& name) { return {load_clip_config(name), name}; }

FoundConfig config_beside(const fs::path& weights, const ModelOptions& options) {
  if (!options.config_name.empty()) return named_config(options.config_name);
  const fs::path folder = weights.parent_path(), ours = folder / "open_clip_config.json";
  if (path_exists(ours)) return named_config(ours.string());
  const fs::path file = folder / "config.json";
  CUCLIP_CHECK(
      path_exists(file),
      "{}: the model's configuration is not known: expected open_clip_config.json or transformers' "
      "config.json beside it, or --config-name (LoadOptions::config) with a built-in name (see cuclip info) "
      "or a JSON file",
      weights.string());
  const fs::path preprocessor = folder / "preprocessor_config.json";
  std::string preprocessing;
  if (path_exists(preprocessor)) {
    preprocessing = read_file(preprocessor);
    CUCLIP_CHECK(!preprocessing.empty(), "{}: the file is empty, expected JSON", preprocessor.string());
  }
  return {parse_hf_config(read_file(file), preprocessing, file.string()), file.string()};
}

std::optional<Tokenizer> tokenizer_beside(const fs::path& weights, const ModelOptions& options) {
  if (!options.tokenizer.empty()) return load_tokenizer(options.tokenizer);
  const fs::path merges = merges_in(weights.parent_path());
  if (merges.empty()) return std::nullopt;
  return Tokenizer::load(merges);
}

ClipOptions clip_options(const ModelOptions& options) {
  return {.dtype = options.dtype, .unset = true, .batch_invariant = options.batch_invariant};
}

LoadedModel from_weights(Context& context, const fs::path& weights, const ModelOptions& options) {
  LoadedModel loaded;
  const WeightFiles files(weights);  // what is no weights is refused before its configuration is asked for
  const auto [config, source] = config_beside(weights, options);
  loaded.found_tokenizer = tokenizer_beside(weights, options);
  CUCLIP_CHECK(
      !loaded.found_tokenizer || loaded.found_tokenizer->vocab_size() == config.text.vocab_size,
      "{}: the model's vocabulary has {} tokens, the merges file makes {}; it belongs to another model",
      weights.string(), config.text.vocab_size, loaded.found_tokenizer->vocab_size());
  loaded.model = std::make_unique<ClipModel>(context, config, clip_options(options));
  loaded.notes = load_weights(*loaded.model, files, source);
  loaded.model->fix_weights();
  loaded.description = weights.string();
  loaded.trained = true;
  loaded.weights = weights.string();
  return loaded;
}

LoadedModel from_folder(Context& context, const fs::path& folder, const ModelOptions& options) {
  std::vector<std::string> notes;
  const fs::path weights = find_weights(folder, notes);
  LoadedModel loaded = from_weights(context, weights, options);
  loaded.description = weights.parent_path().string();
  loaded.notes.insert(loaded.notes.begin(), notes.begin(), notes.end());
  return loaded;
}

LoadedModel untrained(Context& context, const std::string& name, const ModelOptions& options) {
  LoadedModel loaded;
  const ClipConfig config = load_clip_config(name);
  loaded.found_tokenizer =
      options.tokenizer.empty() ? Tokenizer(std::vector<Merge>{}) : load_tokenizer(options.tokenizer);
  CUCLIP_CHECK(loaded.found_tokenizer->vocab_size() <= config.text.vocab_size,
               "{}: the merges file makes {} tokens, the model's vocabulary has only {}", name,
               loaded.found_tokenizer->vocab_size(), config.text.vocab_size);
  loaded.model = std::make_unique<ClipModel>(context, config, clip_options(options));
  loaded.model->initialise(options.seed);
  loaded.model->fix_weights();
  loaded.description = name + ", untrained";
  loaded.notes = {name + " is untrained: its answers mean nothing"};
  return loaded;
}

}  // namespace

fs::path weights_in(const fs::path& folder) { return first_of(folder, kWeightsNames); }
fs::path merges_in(const fs::path& folder) { return first_of(folder, kMergesNames); }

fs::path find_weights(const fs::path& folder, std::vector<std::string>& notes) {
  fs::path checkpoint = folder;
  if (is_run_folder(folder)) {
    const std::optional<fs::path> latest = latest_checkpoint(folder, notes);
    CUCLIP_CHECK(latest, "{}: this run has no checkpoint yet", folder.string());
    checkpoint = *latest;
  }
  const fs::path weights = weights_in(checkpoint);
  if (weights.empty()) refuse_pickled(checkpoint);
  CUCLIP_CHECK(
      !weights.empty(),
      "{}: expected a run's folder (with checkpoints/) or a checkpoint's (with model.safetensors), found "
      "neither",
      checkpoint.string());
  return weights;
}

Tokenizer load_tokenizer(const fs::path& path) {
  if (!is_folder(path)) return Tokenizer::load(path);
  std::vector<std::string> notes;
  const fs::path folder = is_run_folder(path) ? find_weights(path, notes).parent_path() : path;
  const fs::path merges = merges_in(folder);
  CUCLIP_CHECK(!merges.empty(), "{}: expected a merges file in this folder, {}; found none of them",
               folder.string(), fmt::join(kMergesNames, ", "));
  return Tokenizer::load(merges);
}

const Tokenizer& LoadedModel::tokenizer() const {
  CUCLIP_CHECK(
      found_tokenizer,
      "{}: no tokeniser found beside the weights; encoding text needs one: put the merges file there as "
      "tokenizer.txt.gz, or name it with --tokenizer (LoadOptions::tokenizer); for CLIP's vocabulary it is "
      "bpe_simple_vocab_16e6.txt.gz",
      description);
  return *found_tokenizer;
}

namespace {

LoadedModel find_and_load(Context& context, const std::string& spec, const ModelOptions& options) {
  CUCLIP_CHECK(!spec.empty(),
               "the model is not named (--model): expected a folder, a .safetensors file or a built-in name");
  if (is_folder(spec)) return from_folder(context, spec, options);
  const bool index = spec.ends_with(kWeightIndexEnding);
  if (path_exists(spec) && (index || fs::path(spec).extension() != ".json")) {
    refuse_shard(spec);
    return from_weights(context, spec, options);
  }
  CUCLIP_CHECK(!index && fs::path(spec).extension() != ".safetensors", "cannot read {}: no such file", spec);
  return untrained(context, spec, options);
}

}  // namespace

LoadedModel load_model(Context& context, const std::string& spec, const ModelOptions& options) {
  LoadedModel loaded = find_and_load(context, spec, options);
  const std::string widening = context.device() == Device::cpu ? widening_note(options.dtype) : "";
  if (!widening.empty()) loaded.notes.push_back(widening);
  return loaded;
}

}  // namespace cuclip
