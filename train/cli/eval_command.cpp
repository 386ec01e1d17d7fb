// cuclip eval: figures of quality.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <set>

#include "core/counted.h"
#include "models/files/names.h"
#include "models/files/text_file.h"
#include "models/inference/encode.h"
#include "models/inference/labelled_pictures.h"
#include "models/inference/retrieval.h"
#include "models/inference/zero_shot.h"
#include "models/text/text_cleaning.h"
#include "train/cli/commands.h"
#include "train/cli/csv_flags.h"
#include "train/cli/flag_values.h"
#include "train/cli/model_flags.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/cli/texts.h"
#include "train/data/captions.h"
#include "train/data/eval_data.h"
#include "train/data/search_eval.h"
#include "train/data/synthetic_eval.h"
#include "train/data/threshold_eval.h"
#include "train/loop/run_folder.h"

namespace cuclip {
namespace {

using Json = nlohmann::ordered_json;

// Of every measure that takes captioned pictures.
struct PairsOptions {
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

void report_bad(const BadSamples& bad) {
  if (bad.count > 0) warn("samples left out: " + bad.summary());
  if (bad.damaged > 0) warn("damaged pictures used: " + bad.damage_summary());
}

void put_bad(Json& json, const BadSamples& bad) {
  json["samples_left_out"] = bad.count;
  json["damaged_pictures_used"] = bad.damaged;
}

void print_direction(const char* name, const RetrievalDirection& d) {
  fmt::print("{:<14}", name);
  for (const double recall : d.recall) fmt::print("  {:6.3f}", recall);
  fmt::print("  {:11.1f}  {:6.3f}\n", d.median_rank, d.chance[2]);
}

void retrieval(const PairsOptions& options) {
  Session session(options.model);
  const auto dataset = open_dataset(options.data, options.dataset);
  print_notes(dataset->notes());
  const EvalData data =
      load_eval_data(*dataset, session.model().config().evaluation_transform(),
                     session.context.pool()->size(), options.limit, options.max_bad_fraction);
  const RetrievalMetrics metrics = evaluate_retrieval(session.model(), session.loaded.tokenizer(), data);
  report_bad(data.bad);
  if (options.json) {
    Json json = named(session, options.data);
    json["pictures"] = metrics.image_to_text.queries;
    json["captions"] = metrics.text_to_image.queries;
    put_bad(json, data.bad);
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

constexpr const char* kSearchHelp =
    R"(A picture is right for a word if one of its captions has it, in either case, or its plural in -s or -ies;
for class labels, name their column: --csv-caption-key label. Every word is asked bare ("bird") and with
an article ("a bird", "an apple"). Of n right pictures, precision is the share of right ones among the
first N, or among the first n where n is smaller; average precision takes the whole ranking. "chance" is
a random order; equal similarities count against the model. The words, unless --words gives others:
)";
constexpr const char* kSearchExample =
    "Example:\n  cuclip eval search --data 'train-{000..004}.tar::held-out-000.tar' --model runs/mine";

struct SearchOptions : PairsOptions {
  std::optional<std::string> words, templates;
  std::string threshold;
  int64_t top = 12;
};

// The words of --words, each once however often and in whatever case the list has it.
std::vector<std::string> words_to_ask(const std::optional<std::string>& file) {
  if (!file) return {everyday_words().begin(), everyday_words().end()};
  std::vector<std::string> words, repeated;
  std::set<std::string> seen;
  for (const std::string& line : read_lines(*file)) {
    require_text(line, fmt::format("--words: word {}", words.size() + repeated.size() + 1));
    const std::string word = normalise_caption(line).text;
    (seen.insert(clean_caption(word)).second ? words : repeated).push_back(word);
  }
  if (!repeated.empty())
    warn(fmt::format("--words: {} asked once, the first that the list has again: \"{}\"",
                     counted(std::ssize(repeated), "repeated word is", "repeated words are"),
                     shortened_name(repeated.front())));
  return words;
}

void require_some_word(bool found, const SearchOptions& options, const std::vector<std::string>& words) {
  CUCLIP_CHECK(found,
               "eval search: no caption of {} has any of the words ({}, the first: \"{}\"); give others with "
               "--words",
               shortened_name(options.data), counted(std::ssize(words), "word"),
               shortened_name(words.front()));
}

// Refuses words that occur nowhere before any picture is read.
void check_words_occur(const Dataset& dataset, int64_t count, const SearchOptions& options,
                       const std::vector<std::string>& words) {
  std::vector<std::vector<std::string>> captions;
  for (CaptionsOrReason& sample : dataset.captions_of(0, count))
    captions.push_back(std::move(sample.captions));
  const auto pictures = pictures_with_words(captions, words);
  require_some_word(std::any_of(pictures.begin(), pictures.end(), [](const auto& p) { return !p.empty(); }),
                    options, words);
}

void print_scores(const SearchScores& scores) {
  size_t width = 12;
  for (const std::string& word : scores.words)
    width = std::max(width, std::min<size_t>(40, escaped_name(word).size()));
  const auto line = [&](const std::string& word, const std::string& pictures, const auto& ranking_of) {
    fmt::print("{:<{}}  {:>8}", word, width, pictures);
    for (const SearchForm& form : scores.forms) fmt::print("  {:9.3f}", ranking_of(form).precision);
    fmt::print("  ");
    for (const SearchForm& form : scores.forms) fmt::print("  {:9.3f}", ranking_of(form).average_precision);
    fmt::print("\n");
  };
  const size_t group = 11 * scores.forms.size();
  fmt::print("{:<{}}  {:>8}{:>{}}  {:>{}}\n", counted(scores.pictures, "picture"), width, "",
             fmt::format("precision@{}", scores.top), group, "average precision", group);
  fmt::print("{:<{}}  {:>8}", "word", width, "pictures");
  for (const char* gap : {"", "  "}) {
    fmt::print("{}", gap);
    for (const SearchForm& form : scores.forms)
      fmt::print("  {:>9}", form.name == "with_article" ? "a/an" : form.name);
  }
  fmt::print("\n");
  for (size_t w = 0; w < scores.words.size(); ++w)
    line(escaped_name(scores.words[w]), fmt::format("{}", scores.right[w]),
         [w](const SearchForm& form) { return form.rankings[w]; });
  line("mean", "", [](const SearchForm& form) { return form.mean; });
  if (scores.missing.empty()) return;
  fmt::print("in no caption, not counted: {}\n",
             escaped_name(fmt::format("{}", fmt::join(scores.missing, ", "))));
}

void print_threshold(const ThresholdScores& scores) {
  fmt::print("\n--threshold auto: {} with at least {} pictures, {} in no caption\n",
             counted(scores.present, "word"), ThresholdScores::kLeastPictures,
             counted(scores.absent, "word"));
  fmt::print("{:<12}  {:>9}  {:>14}  {:>15}\n", "", "threshold", "wrongly refused", "rightly refused");
  for (const ThresholdForm& form : scores.forms) {
    const auto share = [](double value) { return std::isnan(value) ? "-" : fmt::format("{:.3f}", value); };
    fmt::print("{:<12}  {:9.4f}  {:>15}  {:>15}\n", form.name, form.threshold, share(form.missed),
               share(form.refused));
  }
}

void search(const SearchOptions& options) {
  const std::vector<std::string> words = words_to_ask(options.words);
  const std::vector<std::string> templates =
      options.templates ? load_templates(*options.templates) : std::vector<std::string>();
  const auto dataset = open_dataset(options.data, options.dataset);
  print_notes(dataset->notes());
  const int64_t count = options.limit > 0 ? std::min(options.limit, dataset->size()) : dataset->size();
  check_words_occur(*dataset, count, options, words);
  Session session(options.model);
  const PictureCollection collection = encode_collection(
      session.model(), *dataset, count, options.max_bad_fraction, progress_to_terminal("encoded", count));
  report_bad(collection.bad);
  const SearchScores scores =
      evaluate_search(session.model(), session.loaded.tokenizer(), collection, words, options.top, templates);
  require_some_word(!scores.words.empty(), options, words);
  std::optional<ThresholdScores> threshold;
  if (!options.threshold.empty()) {
    threshold = evaluate_threshold(session.model(), session.loaded.tokenizer(), collection, words, templates);
  }
  if (!options.json) {
    print_scores(scores);
    if (threshold) print_threshold(*threshold);
    return;
  }
  Json json = named(session, options.data);
  put_bad(json, collection.bad);
  json.update(to_json(scores));
  if (threshold) json["threshold_auto"] = to_json(*threshold);
  print_json(json);
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

void add_pairs_flags(CLI::App* sub, PairsOptions& options) {
  sub->add_option(
         "--data", options.data,
         "shards-{000..012}.tar, a .csv or .tsv, a folder, or synthetic:shapes; several joined with ::")
      ->required();
  limit(sub->add_option("--limit", options.limit, "Only the first N pictures; 0: all"),
        WholeRange{0, kMostOfAnything})
      ->capture_default_str();
  add_csv_flags(sub, options.dataset);
  limit(sub->add_option("--max-bad-fraction", options.max_bad_fraction,
                        "Fail if a larger fraction of samples is unusable"),
        RealRange{0, 1})
      ->capture_default_str();
  sub->add_flag("--json", options.json, kJsonHelp);
  add_model_flags(sub, options.model);
}

void add_retrieval(CLI::App* command) {
  auto options = std::make_shared<PairsOptions>();
  CLI::App* sub = command->add_subcommand("retrieval", "R@1/5/10 and median rank of pictures and captions");
  add_pairs_flags(sub, *options);
  sub->footer(
      "Recalls are shares (0 to 1) of queries with a right answer among the first 1, 5, 10; equal "
      "similarities "
      "count against the model.\nExample:\n  cuclip eval retrieval --data held-out-000.tar --model "
      "runs/mine");
  sub->callback([options] { retrieval(*options); });
}

void add_search(CLI::App* command) {
  auto options = std::make_shared<SearchOptions>();
  CLI::App* sub = command->add_subcommand("search", "Precision of searching captioned pictures with words");
  add_pairs_flags(sub, *options);
  never_empty(sub->add_option(
      "--words", options->words,
      "File with one word per line (- for standard input) instead of the everyday words below"));
  limit(sub->add_option("--top", options->top, "Precision among the first N"), WholeRange{1, kMostOfAnything})
      ->capture_default_str();
  never_empty(
      sub->add_option("--templates", options->templates,
                      "Also ask with these, averaged: simple (\"a photo of a {}.\"), openai7, none, or "
                      "a file with one per line (- for standard input)"));
  one_of(sub->add_option("--threshold", options->threshold,
                         "Also how often that of cuclip search refuses words with at least 10 pictures "
                         "(wrongly) and ordinary words that are in no caption (rightly)"),
         {"auto"});
  sub->footer(fmt::format("{}{}\n{}", kSearchHelp, fmt::join(everyday_words(), " "), kSearchExample));
  sub->callback([options] { search(*options); });
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
  CLI::App* command = app.add_subcommand("eval", "Measure retrieval, search and zero-shot accuracy");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n"
      "  cuclip eval retrieval --data held-out-000.tar --model runs/mine\n"
      "  cuclip eval search --data held-out-000.tar --model runs/mine\n"
      "  cuclip eval zero-shot --data synthetic:shapes --model runs/shapes --json");
  add_retrieval(command);
  add_search(command);
  add_zero_shot(command);
}

}  // namespace cuclip
