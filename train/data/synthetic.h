// synthetic:shapes: rendered scenes with captions, for tests and demonstrations that download nothing.
//
// A scene is one object ("a small red car on a grey background"), two to five equal ones ("three blue
// stars"), or two in a relation ("a green tree to the left of a yellow house"). Twelve objects, eight
// colours, four backgrounds. One colour of each object, "a red bicycle" among them, never occurs in the
// splits `train` and `val`, in any kind of scene: whether a model understands it can only come from composing
// what it knows.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "train/data/dataset.h"

namespace cuclip {

/// `train` and `val` are made of seen combinations, with different random numbers; `held_out` is made of the
/// others, one per scene.
enum class SyntheticSplit { train, val, held_out };

struct SyntheticOptions {
  int image_size = 64;
  int64_t count = 20000;
  uint64_t seed = 1;
  SyntheticSplit split = SyntheticSplit::train;
};

/// Samples are rendered by load(): index and seed determine them.
std::unique_ptr<Dataset> make_synthetic_dataset(const SyntheticOptions& options);

/// "synthetic:shapes?size=64&count=20000&seed=1&split=train|val|held-out"; every parameter may be missing.
std::unique_ptr<Dataset> open_synthetic_dataset(const std::string& spec);

/// What a zero-shot evaluation asks about.
enum class SyntheticQuestion {
  seen,      // which of all 96 combinations of colour and object, on pictures of seen ones
  held_out,  // the same on pictures of held-out ones
  counting,  // one, two, three, four or five of them?
  spatial,   // left of, right of, above or below?
  negation,  // "a red car and no star" or "a red car and a star"?
};
inline constexpr SyntheticQuestion kSyntheticQuestions[] = {
    SyntheticQuestion::seen, SyntheticQuestion::held_out, SyntheticQuestion::counting,
    SyntheticQuestion::spatial, SyntheticQuestion::negation};

/// "seen", "held-out", "counting", "spatial", "negation".
std::string question_name(SyntheticQuestion question);

/// Pictures, each with the prompts that it is asked about and the right one among them.
struct SyntheticEvalSet {
  std::vector<Image> images;
  std::vector<std::string> prompts;           // distinct; encode each once
  std::vector<std::vector<int32_t>> choices;  // of each picture: indices into prompts
  std::vector<int32_t> labels;  // of each picture: the right index into prompts, one of its choices
  double chance = 0;            // accuracy of guessing: the mean of 1 / number of choices
};

/// `count` pictures of image_size x image_size, determined by the seed; none is in a data set of the same
/// seed.
SyntheticEvalSet synthetic_eval_set(SyntheticQuestion question, int64_t count, int image_size, uint64_t seed);

}  // namespace cuclip
