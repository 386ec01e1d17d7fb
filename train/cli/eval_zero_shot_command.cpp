// cuclip eval zero-shot: classification by the classes' names.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <limits>
#include <memory>
#include <optional>

#include "core/file_io.h"
#include "models/files/names.h"
#include "models/inference/encode.h"
#include "models/inference/labelled_pictures.h"
#include "models/inference/zero_shot.h"
#include "train/cli/eval_commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/data/synthetic_eval.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

struct ZeroShotOptions {
  ModelFlags model;
  std::string data, classes, templates = "simple";
  std::string image_column, label_column, confusion;
  std::optional<Corruption> corruption;
  int64_t count = 1000;
  uint64_t seed = 1;
  bool json = false;
  std::vector<CLI::Option*> of_synthetic, of_labelled, of_tables;  // what some data alone take
};

void synthetic(const ZeroShotOptions& options, Session& session) {
  const std::vector<SyntheticScore> scores =
      evaluate_synthetic(session.model(), session.loaded.tokenizer(), options.count, options.seed);
  if (options.json) {
    Json json = answer_about(session, options.data);
    json.update(to_json(scores));
    return print_json(json);
  }
  fmt::print("{:<10}  {:>8}  {:>6}  {:>8}\n", "question", "accuracy", "chance", "pictures");
  for (const SyntheticScore& s : scores) {
    fmt::print("{:<10}  {:8.3f}  {:6.3f}  {:8}\n", question_name(s.question), s.accuracy, s.chance,
               s.pictures);
  }
}

void check_arguments(const ZeroShotOptions& options, bool is_synthetic) {
  CUCLIP_CHECK(!is_synthetic || options.data == "synthetic:shapes",
               "--data {}: expected synthetic:shapes; use --count and --seed to choose the pictures",
               options.data);
  if (is_synthetic) {
    refuse_given(options.of_labelled, "--data synthetic:shapes asks questions with choices of their own");
    refuse_given(options.of_tables, "--data synthetic:shapes is not a table");
  } else {
    refuse_given(options.of_synthetic, "only --data synthetic:shapes takes it");
    if (is_folder(options.data)) refuse_given(options.of_tables, options.data + " is a folder, not a table");
  }
  check_confusion_file(options.confusion, inputs_with(options.model, {options.data, options.classes}));
}

Json answer(const ZeroShotOptions& options, const Session& session, const EncodedPictures& encoded,
            const ClassificationMetrics& metrics, std::span<const std::string> classes) {
  Json json = answer_about(session, options.data);
  put_name(json, "templates", options.templates);
  put_corruption(json, options.corruption);
  json["unreadable"] = encoded.unreadable.size();
  json["damaged_pictures_used"] = encoded.damaged.size();
  json.update(to_json(metrics, classes));
  if (!options.confusion.empty()) put_name(json, "confusion", options.confusion);
  return json;
}

void labelled(const ZeroShotOptions& options) {
  // What can be wrong is found before the model is loaded.
  const LabelledPictures pictures =
      read_labelled_pictures(options.data, options.classes, options.image_column, options.label_column);
  require_distinct_classes(pictures.classes, pictures.class_labels, options.data);
  const std::vector<std::string> templates = load_templates(options.templates);
  print_notes(pictures.notes);
  Session session(options.model);
  const Tensor classifier =
      zero_shot_classifier(session.model(), session.loaded.tokenizer(), pictures.classes, templates);
  const EncodedPictures encoded = encode_picture_files(
      session.model(), pictures.files, progress_to_terminal("encoded", std::ssize(pictures.files)),
      FeatureKind::unit, change_of(options.corruption, session.model()));
  report_unreadable(encoded.unreadable);
  report_damaged(encoded.damaged);
  std::vector<int32_t> labels;
  for (const int64_t i : encoded.kept) labels.push_back(pictures.labels[static_cast<size_t>(i)]);
  const ClassificationMetrics metrics =
      zero_shot_metrics(session.context, encoded.features, classifier, labels);
  if (options.json) {
    print_json(answer(options, session, encoded, metrics, pictures.classes));
  } else {
    print_corruption(options.corruption);
    print_metrics(metrics, pictures.classes);
  }
  draw_confusion(options.confusion, metrics, pictures.classes, session.loaded.description,
                 options.corruption);
}

void zero_shot(const ZeroShotOptions& options) {
  const bool is_synthetic = options.data.starts_with("synthetic:");
  check_arguments(options, is_synthetic);
  if (!is_synthetic) return labelled(options);
  Session session(options.model);
  synthetic(options, session);
}

}  // namespace

void add_eval_zero_shot(CLI::App* command) {
  auto options = std::make_shared<ZeroShotOptions>();
  CLI::App* sub = command->add_subcommand("zero-shot", "Accuracy of classification by the classes' names");
  sub->add_option(
         "--data", options->data,
         "A folder with a folder of pictures for each class, a .csv or .tsv of labels, or synthetic:shapes")
      ->required();
  CLI::Option* classes = sub->add_option(
      "--classes", options->classes,
      "File with one class per line (- for standard input): its label, or label<TAB>name for prompts; "
      "without it, those that occur");
  CLI::Option* templates =
      sub->add_option("--templates", options->templates,
                      "simple (\"a photo of a {}.\"), openai7, openai80, none, or a file with one per line "
                      "(- for standard input)")
          ->capture_default_str();
  options->of_tables = add_labels_table_flags(sub, options->image_column, options->label_column);
  options->of_synthetic = {
      limit(sub->add_option("--count", options->count, "Pictures of each question of synthetic:shapes"),
            WholeRange{1, 1'000'000})
          ->capture_default_str(),
      limit(sub->add_option("--seed", options->seed, "Seed of the pictures of synthetic:shapes"),
            WholeRange{0, std::numeric_limits<int64_t>::max()})
          ->capture_default_str()};
  options->of_labelled = {classes, templates, add_corrupt_flag(sub, options->corruption),
                          add_confusion_flag(sub, options->confusion)};
  sub->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(sub, options->model);
  sub->footer(
      "Intervals are Wilson's for shares of pictures; top-5 is given of more than five classes. --corrupt\n"
      "follows Hendrycks and Dietterich 2019 (ImageNet-C), after the pictures have the model's size.\n"
      "Examples:\n"
      "  cuclip eval zero-shot --data pictures/ --templates openai80 --model runs/mine\n"
      "  cuclip eval zero-shot --data pictures/ --confusion confusion.svg --model runs/mine\n"
      "  cuclip eval zero-shot --data pictures/ --corrupt blur:3 --model runs/mine");
  sub->callback([options] { zero_shot(*options); });
}

}  // namespace cuclip
