// From what a user writes after --model to a model that is ready to run.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/clip/weight_shards.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// The names of a model's files in a folder, in the order in which they are looked for.
inline constexpr const char* kWeightsNames[] = {kWeightsFile, "open_clip_model.safetensors", kWeightsIndex,
                                                "open_clip_model.safetensors.index.json"};
inline constexpr const char* kConfigNames[] = {"open_clip_config.json", "config.json",
                                               "preprocessor_config.json"};
inline constexpr const char* kMergesNames[] = {"tokenizer.txt.gz", "tokenizer.txt",
                                               "bpe_simple_vocab_16e6.txt.gz", "bpe_simple_vocab_16e6.txt",
                                               "merges.txt"};

/// The weights in a folder, or their index; empty if there are none.
std::filesystem::path weights_in(const std::filesystem::path& folder);

/// The weights of a model's folder: of a run those of its newest checkpoint that is whole (`notes` gets a
/// line for each that is not), otherwise those in it. Throws InputError where there are none.
std::filesystem::path find_weights(const std::filesystem::path& folder, std::vector<std::string>& notes);

/// The merges in a folder; empty if there are none.
std::filesystem::path merges_in(const std::filesystem::path& folder);

/// The tokeniser of a merges file, or that of a model's folder (as find_weights chooses it). Throws
/// InputError.
Tokenizer load_tokenizer(const std::filesystem::path& path);

struct ModelOptions {
  DType dtype = DType::f32;
  /// A merges file, or a folder with one, instead of the model's own.
  std::string tokenizer;
  /// The configuration (a built-in name or a JSON file) for weights that have none beside them.
  std::string config_name;
  /// Of an untrained model.
  uint64_t seed = 0;
  bool batch_invariant = false;  // ClipOptions
};

struct LoadedModel {
  std::unique_ptr<ClipModel> model;
  /// None if no merges file was found: pictures can be encoded, texts cannot.
  std::optional<Tokenizer> found_tokenizer;
  /// "checkpoints/step-120 of runs/mine", "ViT-B-32, untrained": for people.
  std::string description;
  bool trained = false;
  /// The file that the weights were read from, or the index of several; empty for an untrained model.
  std::string weights = {};
  /// To be reported: damaged checkpoints that were passed over; that positions were resampled; that the model
  /// is untrained; that the processor is slow in the dtype.
  std::vector<std::string> notes = {};

  /// Throws InputError saying how to give one if there is none.
  const Tokenizer& tokenizer() const;
};

/// `spec` is one of
///   - a run's folder: its newest checkpoint or, if that is damaged, the one before it, with a note
///   - a checkpoint's folder: weights (kWeightsNames), configuration, merges
///   - a .safetensors file, or transformers' .safetensors.index.json of several (weight_files.h)
///   - a built-in name or a configuration's .json file: untrained, every value drawn from options.seed
/// The configuration of weights is options.config_name, open_clip_config.json, or transformers' config.json
/// with its preprocessor_config.json (hf_config.h) beside them.
/// Merges are options.tokenizer, or tokenizer.txt.gz, bpe_simple_vocab_16e6.txt.gz or merges.txt beside the
/// weights. An untrained model without merges reads bytes. Throws InputError saying what was expected and
/// what was found. The context must outlive the model.
LoadedModel load_model(Context& context, const std::string& spec, const ModelOptions& options = {});

}  // namespace cuclip
