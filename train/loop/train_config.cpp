#include "train/loop/train_config.h"

#include <algorithm>

#include "kernels/common/check.h"
#include "models/files/names.h"
#include "train/loop/train_settings.h"

namespace cuclip {
namespace {

// How checkpoints keep it.
std::string text_of(const TrainConfig& config, const Setting& setting) {
  return std::visit(
      [&](const auto& kind) -> std::string {
        using Kind = std::decay_t<decltype(kind)>;
        if constexpr (std::is_same_v<Kind, ChoiceSetting>) {
          return kind.get(config);
        } else if constexpr (std::is_same_v<Kind, TextSetting>) {
          // They keep it as JSON, which has no place for bytes that are not valid UTF-8.
          return escaped_name(config.*kind.value);
        } else {
          return fmt::format("{}", config.*kind.value);
        }
      },
      setting.value);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> identity(const TrainConfig& given) {
  TrainConfig config = given;
  config.leaves = std::max<int64_t>(config.leaves, 1);
  if (config.leaves > 1) {  // how a step's pairs come about changes nothing then
    config.batch_size = config.pairs_per_step();
    config.accum_freq = 1;
  }
  std::vector<std::pair<std::string, std::string>> kept;
  // In the order of the checkpoints that there are.
  for (const auto* part : {&model_settings(), &optimisation_settings(), &data_settings(), &run_settings()}) {
    for (const Setting& setting : *part) {
      if (setting.kept_as == nullptr) continue;
      const std::string text = text_of(config, setting);
      if (!kept.empty() && kept.back().first == setting.kept_as) {
        kept.back().second += " " + text;
      } else {
        kept.emplace_back(setting.kept_as, text);
      }
    }
  }
  return kept;
}

void choose_by_encoder(TrainConfig& config, bool resnet) {
  if (config.beta2 == 0) config.beta2 = resnet ? 0.999 : 0.98;
  if (config.eps == 0) config.eps = resnet ? 1e-8 : 1e-6;
}

void validate(const TrainConfig& config) {
  CUCLIP_CHECK(!config.train_data.empty(),
               "train: --train-data is missing: shards, a CSV file, a folder or synthetic:shapes (a run that "
               "is resumed needs "
               "its settings again: --config RUN/config.toml has them)");
  CUCLIP_CHECK(!config.out.empty(), "train: --out is missing: the folder that the run is written to");
  for (const Setting& setting : train_settings()) {
    std::visit(
        [&](const auto& kind) {
          if constexpr (requires { kind.range; }) check_range(setting.flag, kind.range, config.*kind.value);
        },
        setting.value);
  }
  CUCLIP_CHECK(config.aug_scale_min <= config.aug_scale_max,
               "--aug-scale-min must be at most --aug-scale-max, got {} and {}", config.aug_scale_min,
               config.aug_scale_max);
}

}  // namespace cuclip
