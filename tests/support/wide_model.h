// A small model as wide as cuclip-small: oneDNN multiplies narrower matrices by other code, which leaves the
// stack pointer alone.
#pragma once

namespace cuclip::test {

/// A configuration as JSON. A step of 32 pairs takes some hundredths of a second.
inline constexpr const char* kWideModel = R"({"embed_dim": 256,
  "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 256, "layers": 1, "head_width": 64},
  "text_cfg": {"context_length": 16, "vocab_size": 600, "width": 256, "heads": 4, "layers": 1}})";

}  // namespace cuclip::test
