#include "models/inference/encode.h"

#include <algorithm>
#include <cstring>

#include "core/rows.h"
#include "models/image/image_decode.h"
#include "models/image/image_transform.h"

namespace cuclip {
namespace {

constexpr int64_t kTextBatch = 256;  // as kPictureBatch; texts have fewer tokens than pictures have patches

// Encodes texts in batches with encode(tape, tokens) → [rows, ...]; returns the results one after the other,
// in f32.
template <typename Encode>
Tensor encode_tokens(const Clip& model, const Tokenizer& tokenizer, std::span<const std::string> texts,
                     const EncodeProgress& progress, Encode encode) {
  CUCLIP_CHECK(!texts.empty(), "encode: there is no text");
  const int64_t length = model.config().text.context_length, count = std::ssize(texts);
  Tensor all;
  for (int64_t first = 0; first < count; first += kTextBatch) {
    const int64_t rows = std::min(kTextBatch, count - first);
    const std::vector<int32_t> ids =
        tokenizer.encode_padded(texts.subspan(static_cast<size_t>(first), static_cast<size_t>(rows)), length);
    const Tensor tokens =
        Tensor::from<int32_t>(model.context().host(), {rows, length}, std::span<const int32_t>(ids));
    Tape tape(model.context(), Tape::Mode::inference);
    const Tensor part = encode(tape, tokens);
    if (!all) {
      Shape shape = part.shape();
      shape[0] = count;
      all = Tensor::empty(model.context(), shape, DType::f32);
    }
    copy_rows(model.context(), part, all, first);
    if (progress) progress(first + rows);
  }
  return all;
}

struct LoadedBatch {
  std::vector<uint8_t> pixels;       // of the good pictures, one after the other
  std::vector<std::string> reasons;  // of each picture; empty for the good ones
  std::vector<std::string> damage;   // of each picture
};

LoadedBatch load_batch(const Clip& model, int64_t first, int64_t rows,
                       const std::function<Image(int64_t)>& load) {
  const EvaluationTransform transform = model.config().evaluation_transform();
  const size_t bytes = static_cast<size_t>(transform.size) * static_cast<size_t>(transform.size) * 3;
  LoadedBatch batch;
  batch.pixels.resize(static_cast<size_t>(rows) * bytes);
  batch.reasons.resize(static_cast<size_t>(rows));
  batch.damage.resize(static_cast<size_t>(rows));
  model.context().pool()->run(rows, [&](int64_t i, int) {
    const auto row = static_cast<size_t>(i);
    try {
      Image image = load(first + i);
      evaluation_pixels(image, transform, std::span(batch.pixels).subspan(row * bytes, bytes));
      batch.damage[row] = std::move(image.damage);
    } catch (const InputError& error) {
      batch.reasons[row] = error.what();
    }
  });
  size_t good = 0;
  for (size_t row = 0; row < batch.reasons.size(); ++row) {
    if (!batch.reasons[row].empty()) continue;
    if (good != row)
      std::memcpy(batch.pixels.data() + good * bytes, batch.pixels.data() + row * bytes, bytes);
    good++;
  }
  batch.pixels.resize(good * bytes);
  return batch;
}

}  // namespace

EncodedPictures encode_pictures(const Clip& model, int64_t count, const std::function<Image(int64_t)>& load,
                                const EncodeProgress& progress) {
  CUCLIP_CHECK(count > 0, "encode: there is no picture");
  EncodedPictures result;
  const Tensor features = Tensor::empty(model.context(), {count, model.config().embed_dim}, DType::f32);
  for (int64_t first = 0; first < count; first += kPictureBatch) {
    const int64_t rows = std::min(kPictureBatch, count - first);
    const LoadedBatch batch = load_batch(model, first, rows, load);
    const int64_t done = std::ssize(result.kept);
    for (int64_t i = 0; i < rows; ++i) {
      const std::string& reason = batch.reasons[static_cast<size_t>(i)];
      if (reason.empty()) {
        result.kept.push_back(first + i);
      } else {
        result.unreadable.push_back({.index = first + i, .reason = reason});
      }
      const std::string& damage = batch.damage[static_cast<size_t>(i)];
      if (!damage.empty()) result.damaged.push_back(damage);
    }
    if (!batch.pixels.empty()) copy_rows(model.context(), encode_pixels(model, batch.pixels), features, done);
    if (progress) progress(first + rows);
  }
  CUCLIP_CHECK(!result.kept.empty(), "none of the {} pictures can be read; the first: {}", count,
               result.unreadable.front().reason);
  result.features = features.rows(0, std::ssize(result.kept));
  return result;
}

EncodedPictures encode_picture_files(const Clip& model, std::span<const std::filesystem::path> files,
                                     const EncodeProgress& progress) {
  EncodedPictures encoded = encode_pictures(
      model, std::ssize(files), [&](int64_t i) { return load_image(files[static_cast<size_t>(i)]); },
      progress);
  for (UnreadablePicture& picture : encoded.unreadable)
    picture.path = files[static_cast<size_t>(picture.index)].string();
  return encoded;
}

Tensor encode_pixels(const Clip& model, std::span<const uint8_t> pixels, const EncodeProgress& progress) {
  const int64_t size = model.config().vision.image_size, bytes = size * size * 3;
  CUCLIP_CHECK(!pixels.empty() && std::ssize(pixels) % bytes == 0,
               "encode: {} bytes are not pictures of {} x {} pixels", pixels.size(), size, size);
  const int64_t count = std::ssize(pixels) / bytes;
  const Tensor all = Tensor::empty(model.context(), {count, model.config().embed_dim}, DType::f32);
  for (int64_t first = 0; first < count; first += kPictureBatch) {
    const int64_t rows = std::min(kPictureBatch, count - first);
    const Tensor images = Tensor::from<uint8_t>(
        model.context(), {rows, size, size, 3},
        pixels.subspan(static_cast<size_t>(first * bytes), static_cast<size_t>(rows * bytes)));
    Tape tape(model.context(), Tape::Mode::inference);
    copy_rows(model.context(), model.encode_image(tape, images), all, first);
    if (progress) progress(first + rows);
  }
  return all;
}

Tensor encode_texts(const Clip& model, const Tokenizer& tokenizer, std::span<const std::string> texts,
                    const EncodeProgress& progress) {
  return encode_tokens(model, tokenizer, texts, progress,
                       [&](Tape& tape, const Tensor& tokens) { return model.encode_text(tape, tokens); });
}

Tensor encode_hidden_states(const Clip& model, const Tokenizer& tokenizer,
                            std::span<const std::string> texts) {
  return encode_tokens(model, tokenizer, texts, {}, [&](Tape& tape, const Tensor& tokens) {
    return model.text_hidden_states(tape, tokens);
  });
}

}  // namespace cuclip
