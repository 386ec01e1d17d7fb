#include "train/data/sample_store.h"

#include <algorithm>

#include "models/files/names.h"
#include "models/image/image_decode.h"
#include "models/image/resample.h"

namespace cuclip {
Image shrink_to_edge(Image&& picture, int shorter_edge) {
  const int shorter = std::min(picture.width, picture.height);
  if (shorter <= shorter_edge) return std::move(picture);
  const auto scaled = [&](int edge) { return static_cast<int>(int64_t{edge} * shorter_edge / shorter); };
  Image shrunk = resize(picture, scaled(picture.width), scaled(picture.height));
  shrunk.damage = std::move(picture.damage);
  return shrunk;
}

DecodedSample decode_sample(const Dataset& dataset, int64_t index, const DecodeOptions& options,
                            int shorter_edge) {
  Sample sample = dataset.load(index);
  DecodedSample decoded{.key = std::move(sample.key), .picture = {}, .captions = std::move(sample.captions)};
  if (auto* rendered = std::get_if<Image>(&sample.picture)) {
    decoded.picture = std::move(*rendered);
  } else {
    const std::string& bytes = std::get<std::string>(sample.picture);
    try {
      decoded.picture = decode_image(std::as_bytes(std::span(bytes)), shortened_name(decoded.key), options);
    } catch (const InputError& error) {
      throw SampleError("unreadable picture", error.what());
    }
  }
  if (shorter_edge > 0) decoded.picture = shrink_to_edge(std::move(decoded.picture), shorter_edge);
  return decoded;
}

SampleStore::SampleStore(const Dataset& dataset, const Options& options)
    : dataset_(dataset),
      options_(options),
      states_(std::make_unique<std::atomic<uint8_t>[]>(static_cast<size_t>(dataset.size()))) {
  if (options.cache_bytes > 0) kept_.resize(static_cast<size_t>(dataset.size()));
}

const DecodedSample* SampleStore::get(int64_t index, DecodedSample& spare) {
  const auto i = static_cast<size_t>(index);
  const uint8_t state = states_[i].load(std::memory_order_acquire);
  if (state == kept) return &kept_[i];
  if (state == bad_sample) return nullptr;
  try {
    spare = decode_sample(dataset_, index, {.max_pixels = options_.max_pixels}, options_.shorter_edge);
  } catch (const SampleError& error) {
    const std::lock_guard lock(mutex_);
    if (states_[i].exchange(bad_sample, std::memory_order_acq_rel) != bad_sample) {
      bad_.add(error.reason(), error.what());
      ++bad_count_;
    }
    return nullptr;
  }
  if (!spare.picture.damage.empty()) note_damage(i, spare.picture.damage);
  return kept_.empty() ? &spare : keep(i, spare);
}

void SampleStore::note_damage(size_t index, const std::string& damage) {
  const std::lock_guard lock(mutex_);
  uint8_t state = unknown;
  if (states_[index].compare_exchange_strong(state, damaged, std::memory_order_acq_rel)) {
    bad_.add_damaged(damage);
  }
}

const DecodedSample* SampleStore::keep(size_t index, DecodedSample& sample) {
  const int64_t bytes = std::ssize(sample.picture.rgb);
  const std::lock_guard lock(mutex_);
  if (states_[index].load(std::memory_order_relaxed) == kept)
    return &kept_[index];  // another thread was first
  if (kept_bytes_ + bytes > options_.cache_bytes) return &sample;
  kept_bytes_ += bytes;
  kept_[index] = std::move(sample);
  states_[index].store(kept, std::memory_order_release);
  return &kept_[index];
}

BadSamples SampleStore::bad() const {
  const std::lock_guard lock(mutex_);
  return bad_;
}

}  // namespace cuclip
