#include "models/inference/encode.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <optional>

#include "core/rows.h"
#include "models/image/image_decode.h"
#include "models/image/image_transform.h"

namespace cuclip {
namespace {

constexpr int64_t kTextBatch = 256;  // as kPictureBatch; texts have fewer tokens than pictures have patches

// The same weights on one thread.
struct Lane {
  Lane(const std::shared_ptr<ThreadPool>& one_thread, const ClipModel& weights)
      : context(one_thread), model(context, weights) {}
  Context context;
  ClipModel model;
};

// Some batches of one each. On the CPU several at a time, on a thread each, so that none waits for its share
// of a small product; the bits do not depend on the threads.
class OneByOne {
 public:
  explicit OneByOne(const ClipModel& model) : model_(model) {
    const int threads = model.context().pool()->size();
    if (threads == 1 || model.context().device() != Device::cpu || !model.has_fixed_weights()) return;
    const auto one_thread = std::make_shared<ThreadPool>(1);
    for (int i = 0; i < threads; ++i) lanes_.push_back(std::make_unique<Lane>(one_thread, model));
  }

  // encode(model, i) for each i from `first` on.
  template <typename Encode>
  void run(int64_t first, int64_t count, const Encode& encode) {
    if (lanes_.empty() || count == 1) {
      for (int64_t i = first; i < first + count; ++i) encode(model_, i);
    } else {
      model_.context().pool()->run(count, [&](int64_t i, int worker) {
        encode(lanes_[static_cast<size_t>(worker)]->model, first + i);
      });
    }
  }

 private:
  const ClipModel& model_;
  std::vector<std::unique_ptr<Lane>> lanes_;  // of each worker of the pool; none: one after the other
};

// Calls encode(model, first, rows) for one batch after the other; for a batch-invariant model for each item
// alone, on several threads, each with a model of its own.
template <typename Encode>
void for_each_batch(const ClipModel& model, int64_t count, int64_t batch, const EncodeProgress& progress,
                    const Encode& encode) {
  std::optional<OneByOne> one_by_one;
  if (model.options().batch_invariant) one_by_one.emplace(model);
  for (int64_t first = 0; first < count; first += batch) {
    const int64_t rows = std::min(batch, count - first);
    if (one_by_one) {
      one_by_one->run(first, rows, [&](const ClipModel& own, int64_t i) { encode(own, i, 1); });
    } else {
      encode(model, first, rows);
    }
    if (progress) progress(first + rows);
  }
}

void check_finite(const Tensor& features, const char* what) {
  const std::vector<float> values = features.to_floats();
  if (std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); })) return;
  fail(
      "the model's features of {} are not finite: its weights or its preprocessing are far from any that "
      "were trained",
      what);
}

// Encodes texts in batches with encode(model, tape, tokens) → [rows, ...]; returns the results one after the
// other, f32 of this shape.
template <typename Encode>
Tensor encode_tokens(const ClipModel& model, const Tokenizer& tokenizer, std::span<const std::string> texts,
                     const Shape& shape, int32_t padding, const EncodeProgress& progress, Encode encode) {
  CUCLIP_CHECK(!texts.empty(), "encode: there is no text");
  const int64_t length = model.config().text.context_length;
  const Tensor all = Tensor::empty(model.context(), shape, DType::f32);
  for_each_batch(
      model, std::ssize(texts), kTextBatch, progress, [&](const ClipModel& own, int64_t first, int64_t rows) {
        const std::vector<int32_t> ids = tokenizer.encode_padded(
            texts.subspan(static_cast<size_t>(first), static_cast<size_t>(rows)), length, padding);
        const Tensor tokens =
            Tensor::from<int32_t>(own.context().host(), {rows, length}, std::span<const int32_t>(ids));
        Tape tape(own.context(), Tape::Mode::inference);
        copy_rows(own.context(), encode(own, tape, tokens), all, first);
      });
  check_finite(all, "texts");
  return all;
}

int64_t picture_width(const ClipConfig& config, FeatureKind kind) {
  return kind == FeatureKind::pooled ? config.representation_width() : config.embed_dim;
}

int64_t text_width(const ClipConfig& config, FeatureKind kind) {
  return kind == FeatureKind::pooled ? config.text.width : config.embed_dim;
}

struct LoadedBatch {
  std::vector<uint8_t> pixels;       // of the good pictures, one after the other
  std::vector<std::string> reasons;  // of each picture; empty for the good ones
  std::vector<std::string> damage;   // of each picture
};

LoadedBatch load_batch(const ClipModel& model, int64_t first, int64_t rows,
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

void fail_unreadable(int64_t count, const UnreadablePicture& picture) {
  if (count == 1) fail_input("{}", picture.reason);
  fail_input("picture {} of {}, counted from 0, cannot be used: {}", picture.index, count, picture.reason);
}

void fail_none_readable(int64_t count, const UnreadablePicture& first) {
  if (count == 1) fail_input("{}", first.reason);
  fail_input("none of the {} pictures can be read; the first: {}", count, first.reason);
}

EncodedPictures encode_pictures(const ClipModel& model, int64_t count,
                                const std::function<Image(int64_t)>& load, const EncodeProgress& progress,
                                FeatureKind kind, UnreadablePictures unreadable) {
  CUCLIP_CHECK(count > 0, "encode: there is no picture");
  EncodedPictures result;
  const Tensor features =
      Tensor::empty(model.context(), {count, picture_width(model.config(), kind)}, DType::f32);
  for (int64_t first = 0; first < count; first += kPictureBatch) {
    const int64_t rows = std::min(kPictureBatch, count - first);
    const LoadedBatch batch = load_batch(model, first, rows, load);
    const int64_t done = std::ssize(result.kept);
    for (int64_t i = 0; i < rows; ++i) {
      const std::string& reason = batch.reasons[static_cast<size_t>(i)];
      if (reason.empty()) {
        result.kept.push_back(first + i);
      } else if (unreadable == UnreadablePictures::refuse) {
        fail_unreadable(count, {.index = first + i, .reason = reason});
      } else {
        result.unreadable.push_back({.index = first + i, .reason = reason});
      }
      const std::string& damage = batch.damage[static_cast<size_t>(i)];
      if (!damage.empty()) result.damaged.push_back(damage);
    }
    if (!batch.pixels.empty())
      copy_rows(model.context(), encode_pixels(model, batch.pixels, {}, kind), features, done);
    if (progress) progress(first + rows);
  }
  if (result.kept.empty() && unreadable == UnreadablePictures::pass_over_all) return result;
  if (result.kept.empty()) fail_none_readable(count, result.unreadable.front());
  result.features = features.rows(0, std::ssize(result.kept));
  return result;
}

EncodedPictures encode_picture_files(const ClipModel& model, std::span<const std::filesystem::path> files,
                                     const EncodeProgress& progress, FeatureKind kind,
                                     const PictureChange& change) {
  const auto load = [&](int64_t i) {
    Image image = load_image(files[static_cast<size_t>(i)], {}, Pipes::allowed);
    if (change) change(image, i);
    return image;
  };
  EncodedPictures encoded = encode_pictures(model, std::ssize(files), load, progress, kind);
  for (UnreadablePicture& picture : encoded.unreadable)
    picture.path = files[static_cast<size_t>(picture.index)].string();
  return encoded;
}

Tensor encode_pixels(const ClipModel& model, std::span<const uint8_t> pixels, const EncodeProgress& progress,
                     FeatureKind kind) {
  const int64_t size = model.config().vision.image_size, bytes = size * size * 3;
  CUCLIP_CHECK(!pixels.empty() && std::ssize(pixels) % bytes == 0,
               "encode: {} bytes are not pictures of {} x {} pixels", pixels.size(), size, size);
  const int64_t count = std::ssize(pixels) / bytes;
  const Tensor all = Tensor::empty(model.context(), {count, picture_width(model.config(), kind)}, DType::f32);
  for_each_batch(model, count, kPictureBatch, progress,
                 [&](const ClipModel& own, int64_t first, int64_t rows) {
                   const Tensor images = Tensor::from<uint8_t>(
                       own.context(), {rows, size, size, 3},
                       pixels.subspan(static_cast<size_t>(first * bytes), static_cast<size_t>(rows * bytes)));
                   Tape tape(own.context(), Tape::Mode::inference);
                   copy_rows(own.context(), own.image_features(tape, images, kind), all, first);
                 });
  check_finite(all, "pictures");
  return all;
}

Tensor encode_texts(const ClipModel& model, const Tokenizer& tokenizer, std::span<const std::string> texts,
                    const EncodeProgress& progress, FeatureKind kind) {
  return encode_tokens(model, tokenizer, texts, {std::ssize(texts), text_width(model.config(), kind)}, 0,
                       progress, [&](const ClipModel& own, Tape& tape, const Tensor& tokens) {
                         return own.text_features(tape, tokens, kind);
                       });
}

Tensor encode_hidden_states(const ClipModel& model, const Tokenizer& tokenizer,
                            std::span<const std::string> texts, const HiddenStateOptions& options,
                            TextPadding padding) {
  const ClipConfig::Text& text = model.config().text;
  const int32_t token = padding == TextPadding::end ? tokenizer.end_token() : 0;
  return encode_tokens(model, tokenizer, texts, {std::ssize(texts), text.context_length, text.width}, token,
                       {}, [&](const ClipModel& own, Tape& tape, const Tensor& tokens) {
                         return own.text_hidden_states(tape, tokens, options);
                       });
}

}  // namespace cuclip
