// The prompt templates that OpenAI evaluated ImageNet with.
#pragma once

#include <array>
#include <string_view>

namespace cuclip {

/// All 80, in the order of OpenAI's notebook (github.com/openai/CLIP, "Prompt Engineering for ImageNet",
/// MIT licence, copyright 2021 OpenAI; also in open_clip's zero_shot_metadata.py); the name goes where {} is.
const std::array<std::string_view, 80>& openai_templates();

}  // namespace cuclip
