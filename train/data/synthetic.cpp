#include "train/data/synthetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <unordered_map>

#include "models/text/english.h"
#include "train/data/synthetic_scene.h"

namespace cuclip {
namespace {

using shapes::Combination;
using shapes::Relation;
using shapes::Scene;

// Takes the epoch's place in the keys of random numbers, so that no two uses share the same ones. The
// questions follow each other from `questions` on.
enum class Stream : uint64_t { train = 1, val, held_out, questions };

constexpr int64_t kMaxImageSize = 4096;

Scene random_scene(bool held_out, SplitMix64& rng) {
  const Combination first = shapes::random_combination(rng, held_out);
  const double kind = rng.uniform();
  if (held_out || kind < 0.5) return shapes::make_single(first, rng);
  if (kind < 0.7)
    return shapes::make_count(first, 2 + static_cast<int>(rng.below(shapes::kMaxCount - 1)), rng);
  Combination second = first;
  while (second == first) second = shapes::random_combination(rng, held_out);
  return shapes::make_pair(first, second, static_cast<Relation>(rng.below(shapes::kRelations)), rng);
}

class SyntheticDataset final : public Dataset {
 public:
  explicit SyntheticDataset(const SyntheticOptions& options) : options_(options) {}

  int64_t size() const override { return options_.count; }

  std::string key(int64_t index) const override { return fmt::format("{:06}", index); }

  Sample load(int64_t index) const override {
    SplitMix64 rng = rng_of(index);
    const Scene scene = random_scene(options_.split == SyntheticSplit::held_out, rng);
    return {.key = key(index),
            .picture = shapes::render(scene, options_.image_size),
            .captions = shapes::describe(scene, rng)};
  }

  std::vector<std::string> captions(int64_t index) const override {
    SplitMix64 rng = rng_of(index);
    const Scene scene = random_scene(options_.split == SyntheticSplit::held_out, rng);
    return shapes::describe(scene, rng);
  }

  std::string describe() const override {
    return fmt::format("synthetic:shapes: {} scenes of {} pixels, seed {}", options_.count,
                       options_.image_size, options_.seed);
  }

  int64_t picture_bytes(int64_t) const override {
    return int64_t{options_.image_size} * options_.image_size * 3;
  }

 private:
  uint64_t stream() const {
    switch (options_.split) {
      case SyntheticSplit::val:
        return static_cast<uint64_t>(Stream::val);
      case SyntheticSplit::held_out:
        return static_cast<uint64_t>(Stream::held_out);
      default:
        return static_cast<uint64_t>(Stream::train);
    }
  }

  SplitMix64 rng_of(int64_t index) const {
    return sample_rng(options_.seed, stream(), static_cast<uint64_t>(index));
  }

  SyntheticOptions options_;
};

// Adds pictures to an evaluation set, keeping prompts distinct.
class SetBuilder {
 public:
  explicit SetBuilder(int image_size) : image_size_(image_size) {}

  int32_t prompt(const std::string& text) {
    const auto [it, inserted] = index_.try_emplace(text, static_cast<int32_t>(set_.prompts.size()));
    if (inserted) set_.prompts.push_back(text);
    return it->second;
  }

  void add(const Scene& scene, const std::vector<std::string>& choices, size_t right) {
    std::vector<int32_t> indices;
    for (const std::string& choice : choices) indices.push_back(prompt(choice));
    set_.labels.push_back(indices[right]);
    chances_ += 1.0 / static_cast<double>(indices.size());
    set_.choices.push_back(std::move(indices));
    set_.images.push_back(shapes::render(scene, image_size_));
  }

  SyntheticEvalSet finish() {
    set_.chance = chances_ / static_cast<double>(std::max<size_t>(set_.images.size(), 1));
    return std::move(set_);
  }

 private:
  int image_size_;
  double chances_ = 0;
  SyntheticEvalSet set_;
  std::unordered_map<std::string, int32_t> index_;
};

void ask_combination(SetBuilder& builder, bool held_out, SplitMix64& rng) {
  const Combination what = shapes::random_combination(rng, held_out);
  std::vector<std::string> choices;
  size_t right = 0;
  for (int colour = 0; colour < shapes::kColours; ++colour) {
    for (int object = 0; object < shapes::kObjects; ++object) {
      const Combination one{static_cast<shapes::Colour>(colour), static_cast<shapes::Object>(object)};
      if (one == what) right = choices.size();
      choices.push_back(with_article(shapes::phrase(one)));
    }
  }
  builder.add(shapes::make_single(what, rng), choices, right);
}

void ask_count(SetBuilder& builder, SplitMix64& rng) {
  const Combination what = shapes::random_combination(rng, false);
  const int count = 1 + static_cast<int>(rng.below(shapes::kMaxCount));
  std::vector<std::string> choices;
  for (int i = 1; i <= shapes::kMaxCount; ++i) choices.push_back(shapes::counted(what, i));
  builder.add(shapes::make_count(what, count, rng), choices, static_cast<size_t>(count - 1));
}

void ask_relation(SetBuilder& builder, SplitMix64& rng) {
  const Combination first = shapes::random_combination(rng, false);
  Combination second = first;
  while (second == first) second = shapes::random_combination(rng, false);
  const auto relation = static_cast<Relation>(rng.below(shapes::kRelations));
  std::vector<std::string> choices;
  for (int i = 0; i < shapes::kRelations; ++i) {
    choices.push_back(shapes::related(first, static_cast<Relation>(i), second));
  }
  builder.add(shapes::make_pair(first, second, relation, rng), choices, static_cast<size_t>(relation));
}

void ask_negation(SetBuilder& builder, SplitMix64& rng) {
  const Combination first = shapes::random_combination(rng, false);
  Combination second = first;
  while (second.object == first.object) second = shapes::random_combination(rng, false);
  const bool present = rng.below(2) == 1;
  const std::string subject = with_article(shapes::phrase(first));
  const std::string other = shapes::name(second.object);
  const std::vector<std::string> choices = {fmt::format("{} and no {}", subject, other),
                                            fmt::format("{} and {}", subject, with_article(other))};
  const auto relation = static_cast<Relation>(rng.below(shapes::kRelations));
  builder.add(present ? shapes::make_pair(first, second, relation, rng) : shapes::make_single(first, rng),
              choices, present);
}

int64_t parse_number(std::string_view value, std::string_view key, int64_t low, int64_t high) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  CUCLIP_CHECK(error == std::errc() && end == value.data() + value.size() && number >= low && number <= high,
               "synthetic:shapes: {} must be a number from {} to {}, found \"{}\"", key, low, high, value);
  return number;
}

void apply(SyntheticOptions& options, std::string_view key, std::string_view value) {
  if (key == "size") {
    options.image_size = static_cast<int>(parse_number(value, key, 8, kMaxImageSize));
  } else if (key == "count") {
    options.count = parse_number(value, key, 1, int64_t{1} << 40);
  } else if (key == "seed") {
    options.seed = static_cast<uint64_t>(parse_number(value, key, 0, INT64_MAX));
  } else if (key == "split") {
    CUCLIP_CHECK(value == "train" || value == "val" || value == "held-out",
                 "synthetic:shapes: split must be train, val or held-out, found \"{}\"", value);
    options.split = value == "train" ? SyntheticSplit::train
                    : value == "val" ? SyntheticSplit::val
                                     : SyntheticSplit::held_out;
  } else {
    fail_input("synthetic:shapes: unknown parameter \"{}\"; there are size, count, seed and split", key);
  }
}

}  // namespace

std::unique_ptr<Dataset> make_synthetic_dataset(const SyntheticOptions& options) {
  return std::make_unique<SyntheticDataset>(options);
}

std::unique_ptr<Dataset> open_synthetic_dataset(const std::string& spec) {
  std::string_view rest = spec;
  const std::string_view name = rest.substr(0, rest.find('?'));
  CUCLIP_CHECK(name == "synthetic:shapes", "{}: the only synthetic data set is synthetic:shapes", name);
  rest.remove_prefix(std::min(name.size() + 1, rest.size()));
  SyntheticOptions options;
  while (!rest.empty()) {
    const std::string_view parameter = rest.substr(0, rest.find('&'));
    rest.remove_prefix(std::min(parameter.size() + 1, rest.size()));
    const size_t equals = parameter.find('=');
    CUCLIP_CHECK(equals != std::string_view::npos, "synthetic:shapes: expected key=value, found \"{}\"",
                 parameter);
    apply(options, parameter.substr(0, equals), parameter.substr(equals + 1));
  }
  return make_synthetic_dataset(options);
}

std::string question_name(SyntheticQuestion question) {
  switch (question) {
    case SyntheticQuestion::seen:
      return "seen";
    case SyntheticQuestion::held_out:
      return "held-out";
    case SyntheticQuestion::counting:
      return "counting";
    case SyntheticQuestion::spatial:
      return "spatial";
    case SyntheticQuestion::negation:
      return "negation";
  }
  return "";
}

SyntheticEvalSet synthetic_eval_set(SyntheticQuestion question, int64_t count, int image_size,
                                    uint64_t seed) {
  SetBuilder builder(image_size);
  for (int64_t i = 0; i < count; ++i) {
    SplitMix64 rng =
        sample_rng(seed, static_cast<uint64_t>(Stream::questions) + static_cast<uint64_t>(question),
                   static_cast<uint64_t>(i));
    if (question == SyntheticQuestion::seen) ask_combination(builder, false, rng);
    if (question == SyntheticQuestion::held_out) ask_combination(builder, true, rng);
    if (question == SyntheticQuestion::counting) ask_count(builder, rng);
    if (question == SyntheticQuestion::spatial) ask_relation(builder, rng);
    if (question == SyntheticQuestion::negation) ask_negation(builder, rng);
  }
  return builder.finish();
}

}  // namespace cuclip
