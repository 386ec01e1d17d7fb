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
/// (docs/decisions/0013-incremental-index.md), unless the model is batch-invariant (ClipOptions).
inline constexpr int64_t kPictureBatch = 64;

struct UnreadablePicture {
  int64_t index;
  std::string reason;
  std::string path = {};  // where it is a file
};

struct EncodedPictures {
  Tensor features;            // f32 [kept.size(), E], rows of unit length; or of another kind, [.., width]
  std::vector<int64_t> kept;  // the pictures that they belong to, ascending
  std::vector<UnreadablePicture> unreadable;
  std::vector<std::string> damaged;  // Image::damage of pictures that are kept all the same
};

/// Called now and then with the number of pictures or texts done. What it throws ends the work.
using EncodeProgress = std::function<void(int64_t done)>;

/// What becomes of pictures that cannot be read.
enum class UnreadablePictures : uint8_t {
  pass_over,      // they are left out and listed; if none is left, that is an InputError
  pass_over_all,  // the same, but if none is left there are no features
  refuse,         // the first ends the work, before its batch is encoded, with an InputError that names it
};

/// Encodes the pictures load(0) … load(count - 1). load is called on the context's threads, several at a
/// time; a picture cannot be read if it throws InputError. Each picture goes through the evaluation transform
/// (image_transform.h). Throws InputError when there is no picture.
EncodedPictures encode_pictures(const ClipModel& model, int64_t count,
                                const std::function<Image(int64_t)>& load,
                                const EncodeProgress& progress = {}, FeatureKind kind = FeatureKind::unit,
                                UnreadablePictures unreadable = UnreadablePictures::pass_over);

/// InputErrors: one of `count` pictures cannot be read; none of them can.
[[noreturn]] void fail_unreadable(int64_t count, const UnreadablePicture& picture);
[[noreturn]] void fail_none_readable(int64_t count, const UnreadablePicture& first);

/// What is done to a picture between reading and the evaluation transform. Called on several threads.
using PictureChange = std::function<void(Image& image, int64_t index)>;

/// The same for picture files; `change`, if there is one, is applied to each.
EncodedPictures encode_picture_files(const ClipModel& model, std::span<const std::filesystem::path> files,
                                     const EncodeProgress& progress = {},
                                     FeatureKind kind = FeatureKind::unit, const PictureChange& change = {});

/// pixels u8 [N, S, S, 3], S the model's image size → f32 [N, E], rows of unit length; or of another kind,
/// [N, width].
Tensor encode_pixels(const ClipModel& model, std::span<const uint8_t> pixels,
                     const EncodeProgress& progress = {}, FeatureKind kind = FeatureKind::unit);

/// f32 [texts.size(), E], rows of unit length; or of another kind, [texts.size(), width]. Texts that are too
/// long are cut (Tokenizer::encode_padded).
Tensor encode_texts(const ClipModel& model, const Tokenizer& tokenizer, std::span<const std::string> texts,
                    const EncodeProgress& progress = {}, FeatureKind kind = FeatureKind::unit);

/// What comes after the end of a text: token 0, as in open_clip and in Stable Diffusion 2, or the end of text
/// itself, as in OpenAI's CLIPTokenizer and in Stable Diffusion 1.
enum class TextPadding : uint8_t { zero, end };
template <>
inline constexpr std::array<std::string_view, 2> kWords<TextPadding>{"zero", "end"};

/// The text encoder's hidden states at all positions, f32 [texts.size(), context_length, C].
Tensor encode_hidden_states(const ClipModel& model, const Tokenizer& tokenizer,
                            std::span<const std::string> texts, const HiddenStateOptions& options = {},
                            TextPadding padding = TextPadding::zero);

}  // namespace cuclip
