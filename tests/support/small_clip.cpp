#include "tests/support/small_clip.h"

#include <algorithm>

#include "tests/support/buffer.h"

namespace cuclip::test {

ClipConfig small_clip_config() {
  ClipConfig config;
  config.embed_dim = 13;
  config.vision = {.image_size = 12, .patch_size = 4, .width = 24, .layers = 2, .head_width = 8};
  config.text = {.context_length = 7, .vocab_size = 19, .width = 20, .heads = 2, .layers = 2};
  return config;
}

void randomise(Clip& model) {
  model.initialise(rng()());
  std::normal_distribution<float> normal(0.0f, 0.2f);
  for (Parameter& parameter : model.parameters().parameters()) {
    if (parameter.shape.rank() >= 2) continue;
    float* values = parameter.value.data<float>();
    for (int64_t i = 0; i < parameter.shape.elements(); ++i) values[i] += normal(rng());
  }
  model.parameters().refresh_low(model.context());
}

Tensor random_images(Context& context, const ClipConfig& config, int64_t count) {
  const int64_t size = config.vision.image_size;
  Tensor images = Tensor::empty(context, {count, size, size, 3}, DType::u8);
  std::uniform_int_distribution<int> byte(0, 255);
  for (int64_t i = 0; i < images.elements(); ++i) {
    images.data<uint8_t>()[i] = static_cast<uint8_t>(byte(rng()));
  }
  return images;
}

Tensor random_tokens(Context& context, const ClipConfig& config, int64_t count) {
  const int length = config.text.context_length, end = config.text.vocab_size - 1;
  Tensor tokens = Tensor::zeros(context, {count, length}, DType::i32);
  std::uniform_int_distribution<int> position(1, length - 1), word(1, end - 2);
  for (int64_t row = 0; row < count; ++row) {
    int32_t* out = tokens.data<int32_t>() + row * length;
    const int last = position(rng());
    out[0] = end - 1;
    std::generate(out + 1, out + last, [&] { return word(rng()); });
    out[last] = end;
  }
  return tokens;
}

}  // namespace cuclip::test
