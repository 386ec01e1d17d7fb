// cuclip eval: figures of quality.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <limits>
#include <memory>

#include "core/counted.h"
#include "models/files/names.h"
#include "models/inference/encode.h"
#include "models/inference/labelled_pictures.h"
#include "models/inference/retrieval.h"
#include "models/inference/zero_shot.h"
#include "train/cli/commands.h"
#include "train/cli/csv_flags.h"
#include "train/cli/flag_values.h"
#include "train/cli/model_flags.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/data/eval_data.h"
#include "train/data/synthetic_eval.h"
#include "train/loop/run_folder.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

struct RetrievalOptions {
  ModelFlags model;
  std::string data;
  DatasetOptions dataset;
  int64_t limit = 0;
  double max_bad_fraction = 0.1;
  bool json = false;
};

// The beginning of every answer in JSON.
Json named(const Session& session, const std::string& data) {
  Json json;
  put_name(json, "model", session.loaded.description);
  put_name(json, "data", data);
  return json;
}

void print_direction(const char* name, const RetrievalDirection& d) {
  fmt::print("{:<14}", name);
  for (const double recall : d.recall) fmt::print("  {:6.3f}", recall);
  fmt::print("  {:11.1f}  {:6.3f}\n", d.median_rank, d.chance[2]);
}

void retrieval(const RetrievalOptions& options) {
  Session session(options.model);
  const auto dataset = open_dataset(options.data, options.dataset);
  print_notes(dataset->notes());
  const EvalData data =
      load_eval_data(*dataset, session.model().config().evaluation_transform(),
                     session.context.pool()->size(), options.limit, options.max_bad_fraction);
  const RetrievalMetrics metrics = evaluate_retrieval(session.model(), session.loaded.tokenizer(), data);
  if (data.bad.count > 0) warn("samples left out: " + data.bad.summary());
  if (data.bad.damaged > 0) warn("damaged pictures used: " + data.bad.damage_summary());
  if (options.json) {
    Json json = named(session, options.data);
    json["pictures"] = metrics.image_to_text.queries;
    json["captions"] = metrics.text_to_image.queries;
    json["samples_left_out"] = data.bad.count;
    json["damaged_pictures_used"] = data.bad.damaged;
    json.update(to_json(metrics));
    return print_json(json);
  }
  fmt::print("{}, {}\n", counted(metrics.image_to_text.queries, "picture"),
             counted(metrics.text_to_image.queries, "caption"));
  fmt::print("{:<14}  {:>6}  {:>6}  {:>6}  {:>11}  {:>6}\n", "", "R@1", "R@5", "R@10", "median rank",
             "chance");
  print_direction("image to text", metrics.image_to_text);
  print_direction("text to image", metrics.text_to_image);
}

struct ZeroShotOptions {
  ModelFlags model;
  std::string data, classes, templates = "simple";
  std::string image_column, label_column;
  int64_t count = 1000;
  uint64_t seed = 1;
  bool json = false;
};

void synthetic(const ZeroShotOptions& options, Session& session) {
  const std::vector<SyntheticScore> scores =
      evaluate_synthetic(session.model(), session.loaded.tokenizer(), options.count, options.seed);
  if (options.json) {
    Json json = named(session, options.data);
    json.update(to_json(scores));
    return print_json(json);
  }
  fmt::print("{:<10}  {:>8}  {:>6}  {:>8}\n", "question", "accuracy", "chance", "pictures");
  for (const SyntheticScore& s : scores) {
    fmt::print("{:<10}  {:8.3f}  {:6.3f}  {:8}\n", question_name(s.question), s.accuracy, s.chance,
               s.pictures);
  }
}

Json metrics_json(const ZeroShotMetrics& metrics, const std::vector<std::string>& classes) {
  auto per_class = Json::array();
  for (size_t c = 0; c < classes.size(); ++c) {
    per_class.push_back({{"class", classes[c]},
                         {"accuracy", finite_or_null(metrics.class_accuracy[c])},
                         {"pictures", metrics.class_pictures[c]}});
  }
  return {{"pictures", metrics.pictures},
          {"top1", metrics.top1},
          {"top5", metrics.top5},
          {"mean_per_class", metrics.mean_per_class},
          {"chance", 1.0 / static_cast<double>(classes.size())},
          {"classes", per_class}};
}

void print_metrics(const ZeroShotMetrics& metrics, const std::vector<std::string>& classes) {
  fmt::print("{} of {}: top-1 {:.3f}, top-5 {:.3f}, mean per class {:.3f} (chance {:.3f})\n",
             counted(metrics.pictures, "picture"), counted(std::ssize(classes), "class", "classes"),
             metrics.top1, metrics.top5, metrics.mean_per_class, 1.0 / static_cast<double>(classes.size()));
  for (size_t c = 0; c < classes.size(); ++c) {
    if (metrics.class_pictures[c] == 0) continue;
    fmt::print("  {:5.3f} of {:5}  {}\n", metrics.class_accuracy[c], metrics.class_pictures[c],
               escaped_name(classes[c]));
  }
}

void zero_shot(const ZeroShotOptions& options) {
  const bool is_synthetic = options.data.starts_with("synthetic:");
  CUCLIP_CHECK(!is_synthetic || options.data == "synthetic:shapes",
               "--data {}: expected synthetic:shapes; use --count and --seed to choose the pictures",
               options.data);
  Session session(options.model);
  if (is_synthetic) return synthetic(options, session);
  const LabelledPictures pictures =
      read_labelled_pictures(options.data, options.classes, options.image_column, options.label_column);
  print_notes(pictures.notes);
  const Tensor classifier = zero_shot_classifier(session.model(), session.loaded.tokenizer(),
                                                 pictures.classes, load_templates(options.templates));
  const EncodedPictures encoded = encode_picture_files(
      session.model(), pictures.files, progress_to_terminal("encoded", std::ssize(pictures.files)));
  report_unreadable(encoded.unreadable);
  report_damaged(encoded.damaged);
  std::vector<int32_t> labels;
  for (const int64_t i : encoded.kept) labels.push_back(pictures.labels[static_cast<size_t>(i)]);
  const ZeroShotMetrics metrics = zero_shot_metrics(session.context, encoded.features, classifier, labels);
  if (!options.json) return print_metrics(metrics, pictures.classes);
  Json json = named(session, options.data);
  put_name(json, "templates", options.templates);
  json["unreadable"] = encoded.unreadable.size();
  json["damaged_pictures_used"] = encoded.damaged.size();
  json.update(metrics_json(metrics, pictures.classes));
  print_json(json);
}

void add_retrieval(CLI::App* command) {
  auto options = std::make_shared<RetrievalOptions>();
  CLI::App* sub = command->add_subcommand("retrieval", "R@1/5/10 and median rank of pictures and captions");
  sub->add_option("--data", options->data,
                  "shards-{000..012}.tar, a .csv or .tsv, a folder, or synthetic:shapes")
      ->required();
  limit(sub->add_option("--limit", options->limit, "Only the first N pictures; 0: all"),
        WholeRange{0, kMostOfAnything})
      ->capture_default_str();
  add_csv_flags(sub, options->dataset);
  limit(sub->add_option("--max-bad-fraction", options->max_bad_fraction,
                        "Fail if a larger fraction of samples is unusable"),
        RealRange{0, 1})
      ->capture_default_str();
  sub->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(sub, options->model);
  sub->footer(
      "Recalls are shares (0 to 1) of queries with a right answer among the first 1, 5, 10; equal "
      "similarities "
      "count against the model.\nExample:\n  cuclip eval retrieval --data held-out-000.tar --model "
      "runs/mine");
  sub->callback([options] { retrieval(*options); });
}

void add_zero_shot(CLI::App* command) {
  auto options = std::make_shared<ZeroShotOptions>();
  CLI::App* sub = command->add_subcommand("zero-shot", "Accuracy of classification by the classes' names");
  sub->add_option(
         "--data", options->data,
         "A folder with a folder of pictures for each class, a .csv or .tsv of labels, or synthetic:shapes")
      ->required();
  sub->add_option(
      "--classes", options->classes,
      "File with one class per line (- for standard input): its label, or label<TAB>name for prompts; "
      "without it, those that occur");
  sub->add_option(
         "--templates", options->templates,
         "simple (\"a photo of a {}.\"), openai7, none, or a file with one per line (- for standard input)")
      ->capture_default_str();
  add_csv_picture_flag(sub, options->image_column);
  sub->add_option("--csv-label-key", options->label_column, "CSV column with the label; by default label");
  limit(sub->add_option("--count", options->count, "Pictures of each question of synthetic:shapes"),
        WholeRange{1, 1'000'000})
      ->capture_default_str();
  limit(sub->add_option("--seed", options->seed, "Seed of the pictures of synthetic:shapes"),
        WholeRange{0, std::numeric_limits<int64_t>::max()})
      ->capture_default_str();
  sub->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(sub, options->model);
  sub->footer("Example:\n  cuclip eval zero-shot --data pictures/ --templates openai7 --model runs/mine");
  sub->callback([options] { zero_shot(*options); });
}

}  // namespace

void add_eval_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("eval", "Measure retrieval and zero-shot accuracy");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n"
      "  cuclip eval retrieval --data held-out-000.tar --model runs/mine\n"
      "  cuclip eval zero-shot --data synthetic:shapes --model runs/shapes --json");
  add_retrieval(command);
  add_zero_shot(command);
}

}  // namespace cuclip
