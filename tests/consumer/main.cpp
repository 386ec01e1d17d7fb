// Encodes a text with an untrained tiny model; succeeds if the features have unit length.
#include <cmath>
#include <cstdio>
#include <string>
#include <vector>

#include "models/clip/clip.h"
#include "models/text/tokenizer.h"

int main() {
  cuclip::Context context(1);
  cuclip::ClipModel model(context, cuclip::load_clip_config("cuclip-tiny"));
  model.initialise(1);

  const cuclip::Tokenizer bytes{std::vector<cuclip::Merge>{}};
  const std::vector<std::string> texts = {"a red bicycle"};
  const int64_t length = model.config().text.context_length;
  const std::vector<int32_t> ids = bytes.encode_padded(texts, length);
  const auto tokens = cuclip::Tensor::from<int32_t>(context, {1, length}, std::span(ids));

  cuclip::Tape tape(context, cuclip::Tape::Mode::inference);
  double square = 0;
  for (const float x : model.encode_text(tape, tokens).to_floats()) square += double{x} * x;
  std::printf("length of the features: %.6f\n", std::sqrt(square));
  return std::abs(std::sqrt(square) - 1) < 1e-5 ? 0 : 1;
}
