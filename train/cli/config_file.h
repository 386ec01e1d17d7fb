// The settings of `cuclip train` as TOML: --config FILE, and the config.toml that every run has in its
// folder.
#pragma once

#include <functional>
#include <string>

#include "train/loop/train_settings.h"

namespace cuclip {

/// Sets in `config` what the file has, but for the settings that are `given` elsewhere. Keys are the flags'
/// names without the leading dashes (`batch-size = 256`), at the top level or under [train]. KEY_bytes has a
/// text in percent encoding, for one that is not UTF-8 as TOML must be. Throws InputError, which names the
/// line, for what is not TOML, a key that is no setting or is there twice, and a value of another type or out
/// of its range.
void apply_config_file(const std::string& path, const std::function<bool(const Setting&)>& given,
                       TrainConfig& config);

/// The TOML from which apply_config_file makes exactly this configuration of a default one.
std::string config_toml(const TrainConfig& config);

}  // namespace cuclip
