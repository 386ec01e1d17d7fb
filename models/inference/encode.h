// Features of many pictures and texts.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/image/image.h"
#include "models/text/tokenizer.h"

namespace cuclip {

/// Pictures that go through the encoder together: enough to fill the matrix products, few enough for the
/// caches of small models and the memory of large ones. How many there are in a batch, and on some processors
/// its place among them, changes a picture's features by roundings
/// (docs/decisions/0013-incremental-index.md).
inline constexpr int64_t kPictureBatch = 64;

struct UnreadablePicture {
  int64_t index;
  std::string reason;
  std::string path = {};  // where it is a file
};

struct EncodedPictures {
  Tensor features;            // f32 [kept.size(), E], rows of unit length
  std::vector<int64_t> kept;  // the pictures that they belong to, ascending
  std::vector<UnreadablePicture> unreadable;
  std::vector<std::string> damaged;  // Image::damage of pictures that are kept all the same
};

/// Called now and then with the number of pictures or texts done. What it throws ends the work.
using EncodeProgress = std::function<void(int64_t done)>;

/// Encodes the pictures load(0) … load(count - 1). load is called on the context's threads, several at a
/// time; if it throws InputError, the picture is left out and listed. Each picture goes through the
/// evaluation transform (image_transform.h). Throws InputError when there is no picture or none can be read.
EncodedPictures encode_pictures(const Clip& model, int64_t count, const std::function<Image(int64_t)>& load,
                                const EncodeProgress& progress = {});

/// The same for picture files.
EncodedPictures encode_picture_files(const Clip& model, std::span<const std::filesystem::path> files,
                                     const EncodeProgress& progress = {});

/// pixels u8 [N, S, S, 3], S the model's image size → f32 [N, E], rows of unit length.
Tensor encode_pixels(const Clip& model, std::span<const uint8_t> pixels, const EncodeProgress& progress = {});

/// f32 [texts.size(), E], rows of unit length. Texts that are too long are cut (Tokenizer::encode_padded).
Tensor encode_texts(const Clip& model, const Tokenizer& tokenizer, std::span<const std::string> texts,
                    const EncodeProgress& progress = {});

/// The text encoder's hidden states at all positions, f32 [texts.size(), context_length, C].
Tensor encode_hidden_states(const Clip& model, const Tokenizer& tokenizer,
                            std::span<const std::string> texts);

}  // namespace cuclip
