// transformers' preprocessor_config.json: what its CLIPImageProcessor makes of a picture.
#pragma once

#include <string>
#include <string_view>

#include "models/clip/clip_config.h"

namespace cuclip {

/// Sets `config`'s mean, stddev, interpolation and resize_mode to what transformers resolves the file to
/// (4.57 and 5.24 agree); config.vision.image_size must be set already. A key that the file leaves out has
/// the default of CLIPImageProcessor, keys that this class does not know are ignored, as there. `name` is for
/// messages. Throws InputError, naming file, key, value and what is built in, for anything other than a
/// resize of the shorter edge with a square crop or a resize to a square, bicubic or bilinear, and for sizes
/// that are not the model's.
///
/// Two things stay as open_clip has them: pictures are always converted to RGB (transformers fails for others
/// where do_convert_rgb is false), and where the middle lies between two pixels the crop's offset rounds to
/// even (transformers rounds it down).
void read_hf_preprocessor(std::string_view json, std::string_view name, ClipConfig& config);

/// preprocessor_config.json of a model, for transformers' CLIPProcessor.from_pretrained().
std::string hf_preprocessor_json(const ClipConfig& config);

}  // namespace cuclip
