// Pictures and texts for benchmarks of models.
#pragma once

#include <random>

#include "models/clip/clip_config.h"
#include "train/loop/step_types.h"

namespace cuclip {

/// `pairs` pictures of random pixels, and texts of exactly `length` random tokens, start and end included.
inline MicroBatch random_batch(Context& context, const ClipConfig& config, int64_t pairs, int64_t length) {
  std::mt19937 rng(1);
  const int64_t size = config.vision.image_size, columns = config.text.context_length;
  MicroBatch batch{Tensor::empty(context, {pairs, size, size, 3}, DType::u8),
                   Tensor::zeros(context, {pairs, columns}, DType::i32)};
  for (int64_t i = 0; i < batch.images.elements(); ++i) {
    batch.images.data<uint8_t>()[i] = static_cast<uint8_t>(rng());
  }
  for (int64_t r = 0; r < pairs; ++r) {
    int32_t* row = batch.tokens.data<int32_t>() + r * columns;
    for (int64_t i = 0; i < length; ++i) {
      row[i] = static_cast<int32_t>(rng() % static_cast<uint32_t>(config.text.vocab_size - 1));
    }
    row[length - 1] = config.text.vocab_size - 1;
  }
  return batch;
}

}  // namespace cuclip
