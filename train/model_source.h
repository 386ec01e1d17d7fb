// From what a user writes behind --model to a model that is ready to run.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "models/clip.h"
#include "models/tokenizer.h"

namespace cuclip {

struct ModelOptions {
  DType dtype = DType::f32;
  /// A merges file instead of the model's own.
  std::string tokenizer;
  /// The configuration (a built-in name or a JSON file) of weights that have none beside them.
  std::string config_name;
  /// Of an untrained model.
  uint64_t seed = 0;
};

struct LoadedModel {
  std::unique_ptr<Clip> model;
  /// None where no merges file was found: pictures can be encoded, texts cannot.
  std::optional<Tokenizer> found_tokenizer;
  /// "checkpoints/step-120 of runs/mine", "ViT-B-32, untrained": for people.
  std::string description;
  bool trained = false;
  /// The file that the weights were read from; empty for an untrained model.
  std::string weights = {};

  /// Throws InputError saying how to give one if there is none.
  const Tokenizer& tokenizer() const;
};

/// `spec` is one of
///   RUN_FOLDER          its newest checkpoint; a damaged one is passed over for the one before it, said on
///   standard error CHECKPOINT_FOLDER   model.safetensors or open_clip_model.safetensors,
///   open_clip_config.json, merges FILE.safetensors    with open_clip_config.json beside it, or
///   options.config_name NAME | FILE.json    a built-in name or a configuration: untrained, every value drawn
///   from options.seed
/// Merges are options.tokenizer, or tokenizer.txt.gz, bpe_simple_vocab_16e6.txt.gz or merges.txt beside the
/// weights. An untrained model without merges reads bytes. Throws InputError: what was expected and what was
/// found. The context must outlive the model.
LoadedModel load_model(Context& context, const std::string& spec, const ModelOptions& options = {});

}  // namespace cuclip
