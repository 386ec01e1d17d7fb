#include "tests/support/random_pairs.h"

#include <algorithm>
#include <set>

#include "tests/support/buffer.h"

namespace cuclip::test {

Tensor random_images(Context& context, const ClipConfig& config, int64_t count) {
  const int64_t size = config.vision.image_size;
  Tensor images = Tensor::empty(context, {count, size, size, 3}, DType::u8);
  std::uniform_int_distribution<int> byte(0, 255);
  for (int64_t i = 0; i < images.elements(); ++i) {
    images.data<uint8_t>()[i] = static_cast<uint8_t>(byte(rng()));
  }
  return images;
}

Tensor random_tokens(Context& context, const ClipConfig& config, int64_t count, int64_t longest) {
  const auto length = static_cast<size_t>(config.text.context_length);
  const int end = config.text.vocab_size - 1;
  std::uniform_int_distribution<size_t> position(1,
                                                 (longest > 0 ? static_cast<size_t>(longest) : length) - 1);
  std::uniform_int_distribution<int> word(1, end - 2);
  Tensor tokens = Tensor::empty(context, {count, static_cast<int64_t>(length)}, DType::i32);
  int32_t* out = tokens.data<int32_t>();
  std::set<std::vector<int32_t>> seen;
  while (static_cast<int64_t>(seen.size()) < count) {
    std::vector<int32_t> row(length, 0);
    const size_t last = longest > 0 && seen.empty() ? position.max() : position(rng());
    row[0] = end - 1;
    for (size_t i = 1; i < last; ++i) row[i] = word(rng());
    row[last] = end;
    if (seen.insert(row).second) out = std::copy(row.begin(), row.end(), out);
  }
  return tokens;
}

}  // namespace cuclip::test
