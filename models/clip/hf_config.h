// transformers' configuration of a CLIPModel: config.json and preprocessor_config.json.
#pragma once

#include <string>
#include <string_view>

#include "models/clip/clip_config.h"

namespace cuclip {

/// Parses config.json as transformers resolves it (4.57 and 5.24 agree): what it leaves out has CLIPConfig's
/// default, and a `text_config_dict` or `vision_config_dict` replaces `text_config` or `vision_config`
/// entirely. The projection_dim of CLIPModel is the outermost one. `preprocessor` is the text of the
/// preprocessor_config.json beside it (hf_preprocessor.h), or empty: CLIP's own preprocessing. `name`, the
/// path of config.json, is for messages. Throws InputError for another kind of model, and for values that
/// would change the maths in a way that is not built in.
ClipConfig parse_hf_config(std::string_view json, std::string_view preprocessor, std::string_view name);

/// config.json of a model, for transformers' CLIPModel.from_pretrained().
std::string hf_config_json(const ClipConfig& config);

}  // namespace cuclip
