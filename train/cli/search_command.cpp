// cuclip search: the pictures of an index that best fit some words, or another picture.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <cstdio>
#include <memory>
#include <system_error>

#include "core/counted.h"
#include "core/file_io.h"
#include "models/files/names.h"
#include "models/image/image_decode.h"
#include "models/inference/encode.h"
#include "models/inference/feature_index.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/model_flags.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/cli/texts.h"
#include "train/data/dataset.h"
#include "train/data/sample_store.h"
#include "train/draw/contact_sheet.h"
#include "train/draw/gallery.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::string index, words, image, contact_sheet, html;
  int64_t top = 12;
  bool json = false;
};

std::string name_of(const FeatureIndex& index, int64_t row) {
  return index.is_folder ? index.path(row).string() : index.names[static_cast<size_t>(row)];
}

Tensor encode_query(const Options& options, const Session& session) {
  if (options.image.empty()) {
    return encode_texts(session.model(), session.loaded.tokenizer(), std::span(&options.words, 1));
  }
  const fs::path file = options.image;
  const EncodedPictures encoded = encode_picture_files(session.model(), std::span(&file, 1));
  report_damaged(encoded.damaged);
  return encoded.features;
}

// A hit as a contact sheet shows it.
struct Cell {
  Image picture;
  std::string caption;
};

Cell empty_cell(const std::string& name) {
  constexpr int kEdge = 16;
  constexpr uint8_t kGrey = 0xEE;
  return {{.width = kEdge, .height = kEdge, .rgb = std::vector<uint8_t>(kEdge * kEdge * 3, kGrey)},
          "(missing) " + escaped_name(name)};
}

Cell cell_of_file(const FeatureIndex& index, const Hit& hit) {
  const fs::path file = index.path(hit.row);
  return {load_image(file), escaped_name(file.filename().string())};
}

Cell cell_of_sample(const FeatureIndex& index, const Dataset& dataset, const Hit& hit) {
  const int64_t place = index.rows[static_cast<size_t>(hit.row)];
  const std::string& name = index.names[static_cast<size_t>(hit.row)];
  CUCLIP_CHECK(place < dataset.size(), "{}: {} is no longer there; rebuild the index", index.source, name);
  DecodedSample sample = decode_sample(dataset, place, DecodeLimits{}.max_pixels);
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

void draw_hits(const Options& options, const FeatureIndex& index, const std::vector<Hit>& hits) {
  std::vector<Image> images;
  std::vector<std::string> captions;
  for (Cell& cell : cells_of(index, hits)) {
    images.push_back(std::move(cell.picture));
    captions.push_back(std::move(cell.caption));
  }
  const std::string title =
      options.image.empty() ? fmt::format("\"{}\"", options.words) : escaped_name(options.image);
  const std::string subtitle =
      fmt::format("the {} most similar of {}", hits.size(), counted(std::ssize(index.names), "picture"));
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

void print_hits(const FeatureIndex& index, const std::vector<Hit>& hits) {
  for (size_t i = 0; i < hits.size(); ++i) {
    fmt::print("{:3}  {:+.4f}  {}\n", i + 1, hits[i].similarity, escaped_name(name_of(index, hits[i].row)));
  }
}

nlohmann::ordered_json hits_json(const Options& options, const FeatureIndex& index,
                                 const std::vector<Hit>& hits) {
  auto list = nlohmann::ordered_json::array();
  for (size_t i = 0; i < hits.size(); ++i) {
    nlohmann::ordered_json entry = {{"rank", i + 1}, {"similarity", hits[i].similarity}};
    put_name(entry, index.is_folder ? "path" : "key", name_of(index, hits[i].row));
    list.push_back(std::move(entry));
  }
  nlohmann::ordered_json json;
  if (options.image.empty())
    json["words"] = options.words;
  else
    put_name(json, "image", options.image);
  put_name(json, "index", options.index);
  json["searched"] = index.names.size();
  json["hits"] = list;
  if (!options.contact_sheet.empty()) put_name(json, "contact_sheet", options.contact_sheet);
  if (!options.html.empty()) put_name(json, "html", options.html);
  return json;
}

// A drawing shows pictures of the index and must not overwrite one.
void check_drawing(const Options& options, const FeatureIndex& index, const std::string& file,
                   OutputKind kind) {
  if (file.empty()) return;
  std::vector<std::string> inputs = {options.index, options.image};
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

void run_search(Options options) {
  CUCLIP_CHECK(options.words.empty() != options.image.empty(),
               "search: expected either words or --image FILE, found {}",
               options.words.empty() ? "neither" : "both");
  const std::string extension = fs::path(options.contact_sheet).extension();
  CUCLIP_CHECK(options.contact_sheet.empty() || extension == ".png" || extension == ".svg",
               "--contact-sheet {}: expected a name that ends in .png or .svg", options.contact_sheet);
  if (options.image.empty()) require_text(options.words, "search: the words");
  Context reading(1);
  const FeatureIndex index = load_index(reading, options.index);
  if (options.model.model.empty()) {
    CUCLIP_CHECK(!fs::path(index.model).is_absolute() || path_exists(index.model),
                 "{}: the model that made this index is no longer at {}; pass its new location with --model",
                 options.index, index.model);
    options.model.model = index.model;
  }
  check_drawing(options, index, options.contact_sheet, kind_of_name(options.contact_sheet, OutputKind::svg));
  check_drawing(options, index, options.html, OutputKind::html);
  Session session(options.model);
  CUCLIP_CHECK(model_fingerprint(session.model()) == index.model_fingerprint,
               "{}: this index was built with different weights ({}) from those of {}; rebuild it with this "
               "model, or pass the original with --model",
               options.index, index.model, session.loaded.description);
  const std::vector<Hit> hits =
      search_index(session.context, index, encode_query(options, session), options.top);
  // The results do not depend on whether they can be drawn.
  if (options.json)
    print_json(hits_json(options, index, hits));
  else
    print_hits(index, hits);
  if (std::fflush(stdout) != 0)
    throw std::system_error(errno, std::generic_category(), "cannot write to standard output");
  if (options.contact_sheet.empty() && options.html.empty())
    warn_of_missing(index, hits);
  else
    draw_hits(options, index, hits);
}

}  // namespace

void add_search_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("search", "The pictures of an index that best fit words or a picture");
  command->add_option("index", options->index, "File made by cuclip index")->required();
  command->add_option("words", options->words, "What to look for");
  command->add_option("--image", options->image, "Look for pictures like this one instead");
  limit(command->add_option("--top", options->top, "How many"), WholeRange{1, 1'000'000})
      ->capture_default_str();
  never_empty(command->add_option(
      "--contact-sheet", options->contact_sheet,
      "Draw the pictures found, .png or .svg; one that is gone gets an empty cell and a warning"));
  never_empty(command->add_option("--html", options->html,
                                  "Write the pictures found as one HTML page that holds them"));
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model, false);
  command->footer(
      "Prints rank, cosine similarity and picture. Without --model, the one that made the index is "
      "used.\nExample:\n"
      "  cuclip search photos.cuclip-index \"a red bicycle\" --top 12 --contact-sheet found.png");
  command->callback([options] { run_search(*options); });
}

}  // namespace cuclip
