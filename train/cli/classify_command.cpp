// cuclip classify: which of some labels describes a picture best.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>

#include "kernels/similarity/similarity.h"
#include "models/files/names.h"
#include "models/inference/encode.h"
#include "models/inference/zero_shot.h"
#include "train/cli/commands.h"
#include "train/cli/model_flags.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/cli/texts.h"

namespace cuclip {
namespace {

struct Options {
  ModelFlags model;
  std::string image, labels, templates = "simple";
  bool json = false;
};

// Softmax of exp(t) times the similarities, as in training.
std::vector<double> probabilities(const std::vector<float>& similarities, float scale) {
  const float highest = *std::max_element(similarities.begin(), similarities.end());
  std::vector<double> result;
  for (const float s : similarities) result.push_back(std::exp(static_cast<double>(scale * (s - highest))));
  const double sum = std::accumulate(result.begin(), result.end(), 0.0);
  for (double& p : result) p /= sum;
  return result;
}

void classify(const Options& options) {
  const std::vector<std::string> labels = given_labels(options.labels);
  const std::vector<std::string> templates = load_templates(options.templates);
  Session session(options.model);
  const std::vector<std::filesystem::path> files = {options.image};
  const EncodedPictures encoded = encode_picture_files(session.model(), files);
  report_damaged(encoded.damaged);
  const Tensor& image = encoded.features;
  const Tensor classes = zero_shot_classifier(session.model(), session.loaded.tokenizer(), labels, templates);
  const Tensor scores = Tensor::empty(session.context, {1, classes.size(0)}, DType::f32);
  cosine_similarity({.a = image, .b = classes, .out = scores}, session.context.exec());
  const std::vector<float> similarities = scores.to_floats();
  const std::vector<double> probability = probabilities(similarities, session.model().logit_scale());

  std::vector<size_t> order(labels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return similarities[a] > similarities[b]; });
  auto list = nlohmann::ordered_json::array();
  for (const size_t i : order) {
    list.push_back({{"label", labels[i]}, {"probability", probability[i]}, {"similarity", similarities[i]}});
  }
  if (options.json) {
    nlohmann::ordered_json json;
    put_name(json, "image", options.image);
    put_name(json, "model", session.loaded.description);
    json["labels"] = list;
    return print_json(json);
  }
  for (const size_t i : order)
    fmt::print("{:6.2f} %  {:+.4f}  {}\n", 100 * probability[i], similarities[i], escaped_name(labels[i]));
}

}  // namespace

void add_classify_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("classify", "Choose the label that best describes a picture");
  command->add_option("image", options->image, "Picture file")->required();
  command
      ->add_option("--labels", options->labels,
                   "Labels separated by commas, or a file with one per line (- for standard input)")
      ->required();
  command
      ->add_option(
          "--templates", options->templates,
          "simple (\"a photo of a {}.\"), openai7, none (labels as they are), or a file with one per line")
      ->capture_default_str();
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model);
  command->footer(
      "Prints the probability (softmax over the labels), the cosine similarity and the label, the best "
      "first.\n"
      "Example:\n  cuclip classify cat.jpg --labels \"a cat,a dog,a car\" --templates none --model "
      "runs/mine");
  command->callback([options] { classify(*options); });
}

}  // namespace cuclip
