// The settings of a training run, each in one place: the command line's flags and their help, configuration
// files, the ranges that are checked and what a resumed run must agree on all come from this table.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "train/loop/number_range.h"
#include "train/loop/train_config.h"

namespace cuclip {

struct TextSetting {
  std::string TrainConfig::*value;
};
struct SwitchSetting {
  bool TrainConfig::*value;
};
struct WholeSetting {
  int64_t TrainConfig::*value;
  WholeRange range;
};
struct RealSetting {
  double TrainConfig::*value;
  RealRange range;
};
/// An enumeration (core/words.h).
struct ChoiceSetting {
  std::span<const std::string_view> words;  // that the help shows
  std::string (*get)(const TrainConfig& config);
  /// Throws InputError, which names the flag, for a word that means nothing.
  void (*set)(TrainConfig& config, std::string_view flag, std::string_view word);
};

struct Setting {
  const char* flag;  // "--lr"; configuration files and checkpoints leave out the dashes
  std::variant<TextSetting, SwitchSetting, WholeSetting, RealSetting, ChoiceSetting> value;
  const char* help;
  /// The name under which checkpoints keep it: a resumed run must have the same. None: it may differ.
  /// Settings that have one name are kept as one, separated by a space.
  const char* kept_as = nullptr;
};

/// By what they are about, in the order of the help text.
const std::vector<Setting>& model_settings();
const std::vector<Setting>& data_settings();
const std::vector<Setting>& optimisation_settings();
const std::vector<Setting>& run_settings();

/// All of them, in that order.
const std::vector<Setting>& train_settings();

}  // namespace cuclip
