#include "tests/support/tiny_model.h"

#include <cmath>
#include <random>

#include "tests/support/buffer.h"

namespace cuclip::test {
namespace {

void append_le(std::string& bytes, uint64_t value, int count) {
  for (int i = 0; i < count; ++i, value >>= 8) bytes += static_cast<char>(value);
}

}  // namespace

ClipConfig tiny_config(int image_size) {
  ClipConfig config;
  config.embed_dim = 10;
  config.vision = {.image_size = image_size, .patch_size = 4, .width = 16, .layers = 2, .head_width = 8};
  config.text = {.context_length = 7, .vocab_size = 519, .width = 24, .heads = 3, .layers = 3};
  return config;
}

ClipConfig tiny_resnet_config() {
  ClipConfig config = tiny_config();
  config.vision = {
      .image_size = 64, .patch_size = 32, .width = 4, .layers = 0, .head_width = 16, .stages = {1, 2, 1, 1}};
  return config;
}

void randomise(ClipModel& model) {
  for (const Parameter& parameter : model.parameters().parameters()) {
    // As large as keeps activations near 1: 1/sqrt(the last extent) for matrices.
    const int rank = parameter.shape.rank();
    const double fan_in = rank < 2 ? 4 : static_cast<double>(parameter.shape[rank - 1]);
    std::normal_distribution<double> normal(0.0, 1.0 / std::sqrt(fan_in));
    std::vector<float> values(static_cast<size_t>(parameter.shape.elements()));
    for (float& value : values) value = static_cast<float>(normal(rng()));
    if (parameter.name.ends_with("running_var")) {
      for (float& value : values) value = std::exp(value);
    }
    parameter.value.assign(values);
  }
  model.parameters().refresh_bf16(model.context());
}

std::vector<float> statistics(const ClipModel& model) {
  std::vector<float> all;
  for (const Parameter& parameter : model.parameters().parameters()) {
    if (parameter.role != ParameterRole::statistic) continue;
    const std::vector<float> values = parameter.value.to_floats();
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

Tokenizer tiny_tokenizer() {
  std::vector<Merge> merges;
  for (int32_t i = 0; i < 5; ++i) merges.push_back({symbol_of_byte(static_cast<uint8_t>('a' + i)), 256});
  return Tokenizer(merges);
}

Image random_image(int width, int height) {
  Image image{.width = width, .height = height, .rgb = {}};
  image.rgb.resize(static_cast<size_t>(width) * static_cast<size_t>(height) * 3);
  for (uint8_t& byte : image.rgb) byte = static_cast<uint8_t>(rng()());
  return image;
}

std::string bmp_bytes(const Image& image) {
  const auto width = static_cast<uint32_t>(image.width), height = static_cast<uint32_t>(image.height);
  const uint32_t stride = (width * 3 + 3) / 4 * 4;
  std::string bytes = "BM";
  append_le(bytes, 54 + stride * height, 4);
  append_le(bytes, 0, 4);
  append_le(bytes, 54, 4);
  append_le(bytes, 40, 4);
  append_le(bytes, width, 4);
  append_le(bytes, height, 4);
  append_le(bytes, 1, 2);
  append_le(bytes, 24, 2);
  append_le(bytes, 0, 24);
  for (uint32_t y = height; y-- > 0;) {
    for (uint32_t x = 0; x < width; ++x) {
      const uint8_t* p = image.rgb.data() + (size_t{y} * width + x) * 3;
      for (int c = 2; c >= 0; --c) bytes += static_cast<char>(p[c]);
    }
    bytes.append(stride - width * 3, '\0');
  }
  return bytes;
}

}  // namespace cuclip::test
