// transformers' configuration of a CLIPModel: config.json and preprocessor_config.json.
#pragma once

#include <string>
#include <string_view>

#include "models/clip_config.h"

namespace cuclip {

/// Parses config.json; what it leaves out has the default of transformers' CLIPConfig. `preprocessor` is the
/// text of preprocessor_config.json, or empty: image_mean and image_std are read from it. `name` is for
/// messages. Throws InputError for another kind of model, and for values that would change the maths in a way
/// that is not built in.
ClipConfig parse_hf_config(std::string_view json, std::string_view preprocessor, std::string_view name);

/// config.json of a model, for transformers' CLIPModel.from_pretrained().
std::string hf_config_json(const ClipConfig& config);

}  // namespace cuclip
