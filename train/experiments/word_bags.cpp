// Two ways to learn pictures from captions as bags of words, with the same image encoder, batches and number
// of steps; the comparison of Radford et al. 2021, figure 2:
//
//   predict    which words the caption has: a linear classifier of words on the picture's features, softmax
//              cross-entropy against the caption's words in equal shares (Joulin et al. 2016, "Learning
//              Visual Features from Large Weakly Supervised Data")
//   contrast   which of the batch's captions it is: CLIP's loss, the text's features being a sum of a vector
//              for each word
//
//   word_bags predict|contrast MODEL.json DATA PAIRS BATCH LR SEED QUESTIONS [THREADS]
//
// Prints a line of JSON each time the number of pairs has doubled, and at the end: the share of QUESTIONS
// pictures whose prompt, of 96 combinations of colour and object, has the most likely words, or the most
// similar bag.
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>

#include "core/ops.h"
#include "models/clip/image_encoder.h"
#include "train/data/caption_words.h"
#include "train/data/loader.h"
#include "train/data/synthetic.h"
#include "train/loop/lr_schedule.h"
#include "train/loop/optimizer.h"

namespace cuclip {
namespace {

enum class Objective : uint8_t { predict, contrast };

struct Settings {
  Objective objective = Objective::predict;
  ClipConfig config;
  std::string data;
  int64_t pairs = 0, batch = 0;
  double lr = 0;
  uint64_t seed = 0;
  int64_t questions = 0;
  int threads = 0;
};

class Vocabulary {
 public:
  explicit Vocabulary(const Dataset& dataset) {
    for (int64_t i = 0; i < dataset.size(); ++i) {
      for (const std::string& caption : dataset.captions(i)) {
        for (const std::string& word : folded_words(caption)) places_.try_emplace(word, std::ssize(places_));
      }
    }
  }

  int64_t size() const { return std::ssize(places_); }

  /// f32 [texts.size(), size()]: each row the shares of a text's words. Unknown words are left out.
  Tensor bags(Context& context, const std::vector<std::string>& texts) const {
    Tensor bags = Tensor::zeros(context, {std::ssize(texts), size()}, DType::f32);
    for (int64_t row = 0; row < std::ssize(texts); ++row) {
      float* bag = bags.data<float>() + row * size();
      for (const std::string& word : folded_words(texts[static_cast<size_t>(row)])) {
        if (const auto place = places_.find(word); place != places_.end()) bag[place->second] = 1;
      }
      const float words = std::accumulate(bag, bag + size(), 0.0f);
      if (words > 0) std::transform(bag, bag + size(), bag, [&](float share) { return share / words; });
    }
    return bags;
  }

 private:
  std::map<std::string, int64_t> places_;
};

// The mean over the rows of -sum share · log softmax(logits): f32 [1].
Tensor cross_entropy(Tape& tape, const Tensor& logits, const Tensor& shares) {
  Context& context = tape.context();
  const int64_t rows = logits.size(0), columns = logits.size(1);
  Tensor gradient = Tensor::empty(context, logits.shape(), DType::f32);
  double loss = 0;
  for (int64_t row = 0; row < rows; ++row) {
    const float* z = logits.data<float>() + row * columns;
    const float* share = shares.data<float>() + row * columns;
    const float most = *std::max_element(z, z + columns);
    const double sum =
        std::accumulate(z, z + columns, 0.0, [&](double s, float v) { return s + std::exp(v - most); });
    const double log_sum = std::log(sum) + static_cast<double>(most);
    for (int64_t i = 0; i < columns; ++i) {
      const double log_probability = static_cast<double>(z[i]) - log_sum;
      loss -= static_cast<double>(share[i]) * log_probability;
      gradient.data<float>()[row * columns + i] =
          (static_cast<float>(std::exp(log_probability)) - share[i]) / static_cast<float>(rows);
    }
  }
  Tensor result = Tensor::full(context, {1}, static_cast<float>(loss / static_cast<double>(rows)));
  // The loss is where the backward pass starts: what comes back is 1.
  tape.record(result, [logits = logits.place(), gradient](Grads& g) { g.add(logits, gradient); });
  return result;
}

class Model {
 public:
  Model(Context& context, const Settings& settings, int64_t words) : objective_(settings.objective) {
    const int64_t width = settings.config.embed_dim;
    vision_ = make_image_encoder(ParameterScope(store_, "visual."), settings.config);
    if (objective_ == Objective::predict) {
      words_ = &store_.add("words.weight", {words, width}, ParameterRole::weight, Initialiser::fan_in(width));
      bias_ = &store_.add("words.bias", {words}, ParameterRole::bias, Initialiser::zeros());
    } else {
      words_ = &store_.add("words", {words, width}, ParameterRole::embedding, Initialiser::normal(0.02f));
      log_scale_ =
          &store_.add("logit_scale", {}, ParameterRole::scale, Initialiser::constant(std::log(1 / 0.07f)));
    }
    store_.allocate(context, {.gradients = true});
    store_.initialise(context, settings.seed);
  }

  ParameterStore& parameters() { return store_; }

  Tensor loss(Tape& tape, const Tensor& images, const Tensor& bags) const {
    const Tensor features = vision_->forward(tape, images, {.statistics = BatchStatistics::of_batch});
    if (objective_ == Objective::predict)
      return cross_entropy(tape, ops::linear(tape, features, *words_, *bias_), bags);
    return ops::contrastive_loss(tape, ops::l2_normalize(tape, features), embedded(tape, bags), *log_scale_);
  }

  /// How well each of the bags describes each picture: of bags of as many words, the log of their probability
  /// and the cosine order as these do. [images, bags]
  std::vector<float> scores(Context& context, const Tensor& images, const Tensor& bags) const {
    Tape tape(context, Tape::Mode::inference);
    Tensor a = vision_->forward(tape, images, {.statistics = BatchStatistics::running}), b = bags;
    if (objective_ == Objective::predict) {
      a = ops::linear(tape, a, *words_, *bias_);
    } else {
      b = embedded(tape, bags);
    }
    std::vector<float> scores;
    const int64_t width = a.size(1);
    for (int64_t i = 0; i < a.size(0); ++i) {
      for (int64_t j = 0; j < b.size(0); ++j) {
        const float *x = a.data<float>() + i * width, *y = b.data<float>() + j * width;
        scores.push_back(std::inner_product(x, x + width, y, 0.0f));
      }
    }
    return scores;
  }

 private:
  Tensor embedded(Tape& tape, const Tensor& bags) const {
    return ops::l2_normalize(tape, ops::project(tape, bags, *words_));
  }

  Objective objective_;
  ParameterStore store_;
  std::unique_ptr<const ImageEncoder> vision_;
  Parameter *words_ = nullptr, *bias_ = nullptr, *log_scale_ = nullptr;
};

// The share of the set's pictures whose best choice is the right one. All pictures of these sets have the
// same choices. Equal scores count against the model.
double accuracy(Context& context, const Model& model, const Vocabulary& words, const SyntheticEvalSet& set) {
  constexpr size_t kBatch = 100;
  const Tensor bags = words.bags(context, set.prompts);
  const int64_t size = set.images.front().width, prompts = std::ssize(set.prompts);
  int64_t right = 0;
  for (size_t first = 0; first < set.images.size(); first += kBatch) {
    const size_t count = std::min(kBatch, set.images.size() - first);
    const Tensor images = Tensor::empty(context, {static_cast<int64_t>(count), size, size, 3}, DType::u8);
    uint8_t* to = images.data<uint8_t>();
    for (size_t i = 0; i < count; ++i)
      to = std::copy(set.images[first + i].rgb.begin(), set.images[first + i].rgb.end(), to);
    const std::vector<float> scores = model.scores(context, images, bags);
    for (size_t i = 0; i < count; ++i) {
      const float* row = scores.data() + static_cast<int64_t>(i) * prompts;
      const float best = row[set.labels[first + i]];
      right += std::count_if(row, row + prompts, [&](float score) { return score >= best; }) == 1;
    }
  }
  return static_cast<double>(right) / static_cast<double>(set.images.size());
}

void run(const Settings& settings) {
  Context context(settings.threads);
  const auto dataset = open_dataset(settings.data);
  const Vocabulary words(*dataset);
  Model model(context, settings, words.size());
  Optimizer optimizer(context, model.parameters(), {});
  const int size = settings.config.vision.image_size;
  Loader loader(*dataset, {.batch_size = settings.batch, .image_size = size, .seed = settings.seed});
  const int64_t steps = settings.pairs / settings.batch;
  const LrSchedule schedule{.peak = settings.lr, .warmup_steps = steps / 10, .total_steps = steps};
  const SyntheticEvalSet seen = synthetic_eval_set(SyntheticQuestion::seen, settings.questions, size, 1);
  const SyntheticEvalSet held_out =
      synthetic_eval_set(SyntheticQuestion::held_out, settings.questions, size, 1);
  int64_t next = steps / 16;
  for (int64_t step = 1; step <= steps; ++step) {
    const Batch batch = loader.next();
    Tape tape(context);
    const Tensor loss = model.loss(tape, batch.images, words.bags(context, batch.captions));
    tape.backward(loss);
    optimizer.step(loss, Tensor::full(context, {1}, static_cast<float>(schedule.at(step - 1))));
    if (step < steps && step != next) continue;
    next *= 2;
    const nlohmann::ordered_json line{{"pairs", step * settings.batch},
                                      {"loss", loss.item()},
                                      {"seen", accuracy(context, model, words, seen)},
                                      {"held-out", accuracy(context, model, words, held_out)}};
    fmt::print("{}\n", line.dump());
  }
}

}  // namespace
}  // namespace cuclip

int main(int argc, char** argv) {
  const std::string objective = argc > 1 ? argv[1] : "";
  if (argc < 9 || argc > 10 || (objective != "predict" && objective != "contrast")) {
    fmt::print(stderr,
               "usage: word_bags predict|contrast MODEL.json DATA PAIRS BATCH LR SEED QUESTIONS [THREADS]\n");
    return 2;
  }
  try {
    cuclip::run(
        {.objective = objective == "predict" ? cuclip::Objective::predict : cuclip::Objective::contrast,
         .config = cuclip::load_clip_config(argv[2]),
         .data = argv[3],
         .pairs = std::atoll(argv[4]),
         .batch = std::atoll(argv[5]),
         .lr = std::atof(argv[6]),
         .seed = static_cast<uint64_t>(std::atoll(argv[7])),
         .questions = std::atoll(argv[8]),
         .threads = argc > 9 ? std::atoi(argv[9]) : 0});
  } catch (const std::exception& error) {
    fmt::print(stderr, "word_bags: {}\n", error.what());
    return 1;
  }
}
