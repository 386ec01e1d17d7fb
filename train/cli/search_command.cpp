// cuclip search: the pictures of an index that best fit some words, other pictures, or both.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <optional>
#include <system_error>

#include "core/counted.h"
#include "core/file_io.h"
#include "models/files/names.h"
#include "models/image/image_decode.h"
#include "models/inference/feature_index.h"
#include "models/inference/relevance.h"
#include "models/inference/zero_shot.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/model_flags.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/cli/search_queries.h"
#include "train/cli/session.h"
#include "train/data/dataset.h"
#include "train/data/sample_store.h"
#include "train/draw/contact_sheet.h"
#include "train/draw/gallery.h"
#include "train/loop/number_range.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::string index, contact_sheet, html, templates = "none", threshold;
  std::vector<std::string> words, images;
  int64_t top = 12;
  bool json = false;
};

constexpr std::string_view kAutomatic = "auto";

struct Answer {
  std::vector<Hit> hits;        // none if nothing is relevant
  std::optional<double> score;  // on the scale of --threshold auto
};

// --threshold: what hits need.
struct Threshold {
  std::optional<double> similarity;
  std::optional<RelevanceScale> scale;
};

// Of --threshold, unless it is auto or not given.
std::optional<double> given_similarity(const std::string& threshold) {
  if (threshold.empty() || threshold == kAutomatic) return std::nullopt;
  CUCLIP_CHECK(threshold.find_first_not_of("+-.0123456789eE") == threshold.npos,
               "--threshold must be auto or a similarity from -1 to 1, got \"{}\"",
               shortened_name(threshold));
  return parse_number("--threshold", RealRange{-1, 1}, threshold);
}

Answer answer(const Options& options, const FeatureIndex& index, const Threshold& threshold,
              const Tensor& query, std::optional<double> score, Session& session) {
  Answer answer{.hits = {}, .score = score};
  if (score && !threshold.scale->is_relevant(*score)) return answer;
  answer.hits = search_index(session.context, index, query, options.top);
  std::erase_if(answer.hits, [&](const Hit& hit) {
    return threshold.similarity && double{hit.similarity} < *threshold.similarity;
  });
  return answer;
}

// A hit as a contact sheet shows it.
struct Cell {
  Image picture;
  std::string caption;
};

constexpr DecodeOptions kUpright{.exif_orientation = true};  // for people

Cell empty_cell(const std::string& name) {
  constexpr int kEdge = 16;
  constexpr uint8_t kGrey = 0xEE;
  return {{.width = kEdge, .height = kEdge, .rgb = std::vector<uint8_t>(kEdge * kEdge * 3, kGrey)},
          "(missing) " + escaped_name(name)};
}

Cell cell_of_file(const FeatureIndex& index, const Hit& hit) {
  const fs::path file = index.path(hit.row);
  return {load_image(file, kUpright), escaped_name(file.filename().string())};
}

Cell cell_of_sample(const FeatureIndex& index, const Dataset& dataset, const Hit& hit) {
  const int64_t place = index.rows[static_cast<size_t>(hit.row)];
  const std::string& name = index.names[static_cast<size_t>(hit.row)];
  CUCLIP_CHECK(place < dataset.size(), "{}: {} is no longer there; rebuild the index", index.source, name);
  DecodedSample sample = decode_sample(dataset, place, kUpright);
  CUCLIP_CHECK(sample.key == name, "{}: expected {} at place {}, found {}; rebuild the index", index.source,
               name, place, sample.key);
  return {std::move(sample.picture), sample.captions.front()};
}

// Pictures that are gone or damaged since they were indexed get an empty cell that says so.
std::vector<Cell> cells_of(const FeatureIndex& index, const std::vector<Hit>& hits) {
  std::unique_ptr<Dataset> dataset;
  std::string gone;  // why there is no data set any more
  try {
    if (!index.is_folder) dataset = open_dataset(index.source);
  } catch (const InputError& error) {
    gone = error.what();
  }
  std::vector<Cell> cells;
  std::vector<std::string> problems;
  for (const Hit& hit : hits) {
    Cell cell;
    try {
      CUCLIP_CHECK(gone.empty(), "{}", gone);
      cell = dataset ? cell_of_sample(index, *dataset, hit) : cell_of_file(index, hit);
    } catch (const InputError& error) {
      problems.push_back(error.what());
      cell = empty_cell(index.names[static_cast<size_t>(hit.row)]);
    }
    cell.caption = fmt::format("{:.3f}\n{}", hit.similarity, cell.caption);
    cells.push_back(std::move(cell));
  }
  if (!problems.empty()) {
    warn(fmt::format("{} of the {} pictures found can no longer be read; {} left empty; the first: {}",
                     problems.size(), hits.size(), problems.size() == 1 ? "its cell is" : "their cells are",
                     problems.front()));
  }
  return cells;
}

// `"a red bicycle", mine.jpg`, for one line of a terminal or a sheet.
std::string title_of(const Options& options, const SearchQuery& query) {
  std::string title = query.words.empty() ? "" : fmt::format("\"{}\"", query.words);
  for (const std::string& image : options.images) title += (title.empty() ? "" : ", ") + image;
  return escaped_name(title);
}

void draw_hits(const Options& options, const FeatureIndex& index, const SearchQuery& query,
               const std::vector<Hit>& hits) {
  std::vector<Image> images;
  std::vector<std::string> captions;
  for (Cell& cell : cells_of(index, hits)) {
    images.push_back(std::move(cell.picture));
    captions.push_back(std::move(cell.caption));
  }
  const std::string subtitle =
      fmt::format("the {} most similar of {}", hits.size(), counted(std::ssize(index.names), "picture"));
  const std::string title = title_of(options, query);
  if (!options.contact_sheet.empty()) {
    draw::write_scene(options.contact_sheet, draw::contact_sheet({.title = title,
                                                                  .subtitle = subtitle,
                                                                  .images = images,
                                                                  .captions = captions,
                                                                  .columns = 4,
                                                                  .caption_lines = 3}));
  }
  if (!options.html.empty()) {
    write_file_atomic(
        options.html,
        draw::gallery_html({.title = title, .subtitle = subtitle, .images = images, .captions = captions}));
  }
}

// For a folder it takes no time to see which pictures are gone.
void warn_of_missing(const FeatureIndex& index, const std::vector<Hit>& hits) {
  if (!index.is_folder) return;
  std::vector<std::string> missing;
  for (const Hit& hit : hits) {
    if (!path_exists(index.path(hit.row))) missing.push_back(index.path(hit.row).string());
  }
  if (missing.empty()) return;
  warn(fmt::format("{} of the {} pictures found no longer {}, such as {}; rebuild the index", missing.size(),
                   hits.size(), missing.size() == 1 ? "exists" : "exist", escaped_name(missing.front())));
}

void print_answer(const FeatureIndex& index, const Threshold& threshold, const Answer& answer) {
  const std::vector<Hit>& hits = answer.hits;
  if (hits.empty() && threshold.scale) {
    fmt::print("nothing relevant (scores {:+.4f}, more than {:+.4f} is relevant)\n", *answer.score,
               threshold.scale->threshold());
  } else if (hits.empty()) {
    fmt::print("nothing relevant (no similarity of at least {})\n", *threshold.similarity);
  }
  for (size_t i = 0; i < hits.size(); ++i) {
    fmt::print("{:3}  {:+.4f}  {}\n", i + 1, hits[i].similarity, escaped_name(index.name(hits[i].row)));
  }
}

nlohmann::ordered_json answer_json(const Options& options, const FeatureIndex& index,
                                   const Threshold& threshold, const SearchQuery& query,
                                   const Answer& answer) {
  auto list = nlohmann::ordered_json::array();
  for (size_t i = 0; i < answer.hits.size(); ++i) {
    nlohmann::ordered_json entry = {{"rank", i + 1}, {"similarity", answer.hits[i].similarity}};
    put_name(entry, index.is_folder ? "path" : "key", index.name(answer.hits[i].row));
    list.push_back(std::move(entry));
  }
  nlohmann::ordered_json json;
  if (!query.words.empty()) json["words"] = query.words;
  if (options.images.size() == 1) put_name(json, "image", options.images.front());
  if (options.images.size() > 1) put_names(json, "images", options.images);
  put_name(json, "index", options.index);
  json["searched"] = index.names.size();
  if (!options.threshold.empty()) {
    json["relevant"] = !answer.hits.empty();
    if (answer.score) json["score"] = *answer.score;
    json["threshold"] = threshold.scale ? threshold.scale->threshold() : *threshold.similarity;
  }
  json["hits"] = list;
  if (!options.contact_sheet.empty()) put_name(json, "contact_sheet", options.contact_sheet);
  if (!options.html.empty()) put_name(json, "html", options.html);
  return json;
}

// A drawing shows pictures of the index and must not overwrite one.
void check_drawing(const Options& options, const FeatureIndex& index, const std::string& file,
                   OutputKind kind) {
  if (file.empty()) return;
  std::vector<std::string> inputs = options.images;
  inputs.push_back(options.index);
  if (path_exists(file)) {
    for (int64_t row = 0; index.is_folder && row < std::ssize(index.names); ++row) {
      inputs.push_back(index.path(row).string());
    }
    for (const std::string& part :
         index.is_folder ? std::vector<std::string>() : joined_specs(index.source)) {
      // A .csv file's names start at its folder; those of a folder with captions, in that folder.
      const fs::path folder = is_folder(part) ? fs::path(part) : fs::path(part).parent_path();
      for (const std::string& name : index.names) inputs.push_back((folder / name).string());
    }
  }
  check_can_write(file, kind, inputs_with(options.model, inputs));
}

void check_options(const Options& options) {
  CUCLIP_CHECK(!options.words.empty() || !options.images.empty(),
               "search: expected words, --image FILE or both, found neither");
  const std::string extension = fs::path(options.contact_sheet).extension();
  CUCLIP_CHECK(options.contact_sheet.empty() || extension == ".png" || extension == ".svg",
               "--contact-sheet {}: expected a name that ends in .png or .svg", options.contact_sheet);
  CUCLIP_CHECK(options.threshold != kAutomatic || options.images.empty(),
               "--threshold auto is for words alone, and there is --image; give a similarity instead");
}

// The model of --model, or the one that made the index.
void choose_model(Options& options, const FeatureIndex& index) {
  if (!options.model.model.empty()) return;
  CUCLIP_CHECK(!fs::path(index.model).is_absolute() || path_exists(index.model),
               "{}: the model that made this index is no longer at {}; pass its new location with --model",
               options.index, index.model);
  options.model.model = index.model;
}

void print_answers(const Options& options, const FeatureIndex& index, const Threshold& threshold,
                   const std::vector<SearchQuery>& queries, const std::vector<Answer>& answers) {
  // Lines of standard input are a list however many there are.
  const bool is_list = queries.size() > 1 || is_from_input(options.words);
  auto list = nlohmann::ordered_json::array();
  for (size_t q = 0; q < queries.size(); ++q) {
    if (options.json) {
      list.push_back(answer_json(options, index, threshold, queries[q], answers[q]));
      continue;
    }
    if (is_list) fmt::print("{}{}\n", q == 0 ? "" : "\n", title_of(options, queries[q]));
    print_answer(index, threshold, answers[q]);
  }
  if (options.json) print_json(is_list ? list : list.front());
  if (std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot write to standard output");
}

void run_search(Options options) {
  check_options(options);
  Threshold threshold{.similarity = given_similarity(options.threshold), .scale = {}};
  const std::vector<SearchQuery> queries = given_queries(options.words);
  const std::vector<std::string> templates = load_templates(options.templates);
  const bool drawn = !options.contact_sheet.empty() || !options.html.empty();
  CUCLIP_CHECK(queries.size() == 1 || !drawn,
               "{} shows the answer to one query, found {}; search for each by itself",
               options.html.empty() ? "--contact-sheet" : "--html", queries.size());
  Context reading(1);
  FeatureIndex index = load_index(reading, options.index);
  if (index.missing > 0) {
    warn(fmt::format("{} is unfinished, without {} of {}; the same cuclip index command continues it",
                     options.index, counted(index.missing, "picture"), index.source));
  }
  choose_model(options, index);
  check_drawing(options, index, options.contact_sheet, kind_of_name(options.contact_sheet, OutputKind::svg));
  check_drawing(options, index, options.html, OutputKind::html);
  CUCLIP_CHECK(!drawn || fs::weakly_canonical(options.html) != fs::weakly_canonical(options.contact_sheet),
               "--contact-sheet and --html name the same file, {}; choose another name for one of them",
               options.html);
  Session session(options.model);
  require_model_of(index, options.index, session.model(), session.loaded.description);
  const Tensor encoded = encode_given(session, queries, options.images, templates);
  std::vector<double> scores;
  if (options.threshold == kAutomatic) {
    const Tokenizer& tokenizer = session.loaded.tokenizer();
    threshold.scale.emplace(make_relevance_scale(session.model(), tokenizer, index.features, templates));
    scores = relevance_scores(*threshold.scale, session.model(), tokenizer, terms_of(queries), templates);
  }
  keep_norms(session.context, index);
  std::vector<Answer> answers;
  for (size_t q = 0; q < queries.size(); ++q) {
    const std::optional<double> score = scores.empty() ? std::nullopt : std::optional(scores[q]);
    answers.push_back(
        answer(options, index, threshold, encoded.rows(static_cast<int64_t>(q), 1), score, session));
  }
  // The results do not depend on whether they can be drawn.
  print_answers(options, index, threshold, queries, answers);
  if (!drawn) {
    for (const Answer& answer : answers) warn_of_missing(index, answer.hits);
  } else if (answers.front().hits.empty()) {
    warn("nothing relevant, so nothing is drawn");
  } else {
    draw_hits(options, index, queries.front(), answers.front().hits);
  }
}

constexpr const char* kSearchFooter =
    R"(Prints rank, cosine similarity and picture. Without --model, the one that made the index is used. Of
several queries, each answer comes below its query; with --json they are a list, as are those of - always.
What a phrase is about counts more than the rest of it: the last word of "a red bicycle", by a third; in
quotation marks, a phrase is asked for as it is. +word and -word at the start of a word add and subtract it;
quotation marks keep a phrase whole (bird -"road sign"), and "-" in them is the character itself. The terms
and pictures are added as vectors of unit length, a subtracted one counting a third.
--threshold auto scores what is asked for: the similarity of the three best pictures, less their similarity to
words such as "honesty" and "yesterday", which no picture shows, times a measure of how well the model knows
the words. A query is relevant if each of its terms, and the last word of each, scores higher than nine tenths
of those words do. With a model that knows many words it refuses less than it should.
A picture that is in the index finds itself first.
Examples:
  cuclip search photos.cuclip-index "a red bicycle" --top 12 --contact-sheet found.png
  cuclip search photos.cuclip-index "bird +water" "bicycle -sign" --threshold auto
  cuclip search photos.cuclip-index --image mine.jpg "in the snow")";

}  // namespace

void add_search_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("search", "The pictures of an index that best fit words or pictures");
  command->add_option("index", options->index, "File made by cuclip index")->required();
  command->add_option("words", options->words,
                      "What to look for; several are answered in turn; - reads them from standard input, one "
                      "per line");
  command
      ->add_option("--image", options->images,
                   "Look for pictures like this one; may be repeated, and mixes with the words")
      ->allow_extra_args(false);
  limit(command->add_option("--top", options->top, "How many"), WholeRange{1, 1'000'000})
      ->capture_default_str();
  command->add_option("--threshold", options->threshold,
                      "Show only what is similar enough: a cosine similarity, or auto, which says \"nothing "
                      "relevant\" where the collection seems to have nothing for the words (see below)");
  command
      ->add_option("--templates", options->templates,
                   "Ask with these, averaged: none, simple (\"a photo of a {}.\"), openai7, openai80, or a "
                   "file with one "
                   "per line")
      ->capture_default_str();
  never_empty(command->add_option(
      "--contact-sheet", options->contact_sheet,
      "Draw the pictures found, .png or .svg; one that is gone gets an empty cell and a warning"));
  never_empty(command->add_option("--html", options->html,
                                  "Write the pictures found as one HTML page that holds them"));
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model, false);
  command->footer(kSearchFooter);
  command->callback([options] { run_search(*options); });
}

}  // namespace cuclip
