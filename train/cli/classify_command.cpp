// cuclip classify: which of some labels describes a picture best.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

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

void classify(const Options& options) {
  const std::vector<std::string> labels = given_labels(options.labels);
  require_distinct_classes(labels, labels, "--labels");
  const std::vector<std::string> templates = load_templates(options.templates);
  Session session(options.model);
  const std::vector<std::filesystem::path> files = {options.image};
  const EncodedPictures encoded = encode_picture_files(session.model(), files);
  report_damaged(encoded.damaged);
  const Tensor classes = zero_shot_classifier(session.model(), session.loaded.tokenizer(), labels, templates);
  const std::vector<LabelScore> ranked = rank_labels(session.model(), encoded.features, classes);
  const auto name = [&](const LabelScore& score) { return labels[static_cast<size_t>(score.label)]; };
  auto list = nlohmann::ordered_json::array();
  for (const LabelScore& score : ranked) {
    list.push_back(
        {{"label", name(score)}, {"probability", score.probability}, {"similarity", score.similarity}});
  }
  if (options.json) {
    nlohmann::ordered_json json;
    put_name(json, "image", options.image);
    put_name(json, "model", session.loaded.description);
    json["labels"] = list;
    return print_json(json);
  }
  for (const LabelScore& score : ranked) {
    fmt::print("{:6.2f} %  {:+.4f}  {}\n", 100 * score.probability, score.similarity,
               escaped_name(name(score)));
  }
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
      ->add_option("--templates", options->templates,
                   "simple (\"a photo of a {}.\"), openai7, openai80, none (labels as they are), or a file "
                   "with one per line")
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
