// cuclip eval search: how well single words find the pictures whose captions have them.
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <set>

#include "core/counted.h"
#include "models/files/names.h"
#include "models/files/text_file.h"
#include "models/inference/zero_shot.h"
#include "models/text/text_cleaning.h"
#include "train/cli/eval_commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/cli/texts.h"
#include "train/data/captions.h"
#include "train/data/search_eval.h"
#include "train/data/threshold_eval.h"

namespace cuclip {
namespace {

constexpr const char* kSearchHelp =
    R"(A picture is right for a word if one of its captions has it, in either case, or its plural in -s or -ies;
for class labels, name their column: --csv-caption-key label. Every word is asked bare ("bird") and with
an article ("a bird", "an apple"). Of n right pictures, precision is the share of right ones among the
first N, or among the first n where n is smaller; average precision takes the whole ranking. "chance" is
a random order; equal similarities count against the model. The words, unless --words gives others:
)";
constexpr const char* kSearchExample =
    "Example:\n  cuclip eval search --data 'train-{000..004}.tar::held-out-000.tar' --model runs/mine";

struct SearchOptions : PairsFlags {
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
  nlohmann::ordered_json json = answer_about(session, options.data);
  put_bad(json, collection.bad);
  json.update(to_json(scores));
  if (threshold) json["threshold_auto"] = to_json(*threshold);
  print_json(json);
}

}  // namespace

void add_eval_search(CLI::App* command) {
  auto options = std::make_shared<SearchOptions>();
  CLI::App* sub = command->add_subcommand("search", "Precision of searching captioned pictures with words");
  add_pairs_flags(sub, *options);
  never_empty(sub->add_option(
      "--words", options->words,
      "File with one word per line (- for standard input) instead of the everyday words below"));
  limit(sub->add_option("--top", options->top, "Precision among the first N"), WholeRange{1, kMostOfAnything})
      ->capture_default_str();
  never_empty(sub->add_option(
      "--templates", options->templates,
      "Also ask with these, averaged: simple (\"a photo of a {}.\"), openai7, openai80, none, or "
      "a file with one per line (- for standard input)"));
  one_of(sub->add_option("--threshold", options->threshold,
                         "Also how often that of cuclip search refuses words with at least 10 pictures "
                         "(wrongly) and ordinary words that are in no caption (rightly)"),
         {"auto"});
  sub->footer(fmt::format("{}{}\n{}", kSearchHelp, fmt::join(everyday_words(), " "), kSearchExample));
  sub->callback([options] { search(*options); });
}

}  // namespace cuclip
