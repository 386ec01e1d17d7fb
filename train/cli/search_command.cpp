// cuclip search: the pictures of an index that fit some words, or another picture, best.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "models/image_decode.h"
#include "train/cli/commands.h"
#include "train/cli/model_flags.h"
#include "train/data/sample_store.h"
#include "train/draw/contact_sheet.h"
#include "train/feature_index.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::string index, words, image, contact_sheet;
  int64_t top = 12;
  bool json = false;
};

std::string shown_name(const FeatureIndex& index, int64_t row) {
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

// The pictures of the hits and what is written under them.
struct Found {
  std::vector<Image> images;
  std::vector<std::string> captions;
};

Found load_from_folder(const FeatureIndex& index, const std::vector<Hit>& hits) {
  Found found;
  for (const Hit& hit : hits) {
    const fs::path file = index.path(hit.row);
    found.images.push_back(load_image(file));
    found.captions.push_back(fmt::format("{:.3f}\n{}", hit.similarity, file.filename().string()));
  }
  return found;
}

Found load_from_dataset(const FeatureIndex& index, const std::vector<Hit>& hits) {
  Found found;
  const auto dataset = open_dataset(index.source);
  for (const Hit& hit : hits) {
    const int64_t place = index.rows[static_cast<size_t>(hit.row)];
    const std::string& name = index.names[static_cast<size_t>(hit.row)];
    CUCLIP_CHECK(place < dataset->size(), "{}: {} is no longer there; make the index again", index.source,
                 name);
    DecodedSample sample = decode_sample(*dataset, place, DecodeLimits{}.max_pixels);
    CUCLIP_CHECK(sample.key == name, "{}: expected {} at place {}, found {}; make the index again",
                 index.source, name, place, sample.key);
    found.images.push_back(std::move(sample.picture));
    found.captions.push_back(fmt::format("{:.3f}\n{}", hit.similarity, sample.captions.front()));
  }
  return found;
}

void draw_hits(const Options& options, const FeatureIndex& index, const std::vector<Hit>& hits) {
  const Found found = index.is_folder ? load_from_folder(index, hits) : load_from_dataset(index, hits);
  const std::string title = options.image.empty() ? fmt::format("\"{}\"", options.words) : options.image;
  const std::string subtitle =
      fmt::format("the {} most similar of {} pictures", hits.size(), index.names.size());
  draw::write_scene(options.contact_sheet, draw::contact_sheet({.title = title,
                                                                .subtitle = subtitle,
                                                                .images = found.images,
                                                                .captions = found.captions,
                                                                .columns = 4,
                                                                .caption_lines = 3}));
}

void print_hits(const FeatureIndex& index, const std::vector<Hit>& hits) {
  for (size_t i = 0; i < hits.size(); ++i) {
    fmt::print("{:3}  {:+.4f}  {}\n", i + 1, hits[i].similarity, shown_name(index, hits[i].row));
  }
}

nlohmann::ordered_json hits_json(const Options& options, const FeatureIndex& index,
                                 const std::vector<Hit>& hits) {
  auto list = nlohmann::ordered_json::array();
  for (size_t i = 0; i < hits.size(); ++i) {
    list.push_back({{"rank", i + 1},
                    {"similarity", hits[i].similarity},
                    {index.is_folder ? "path" : "key", shown_name(index, hits[i].row)}});
  }
  nlohmann::ordered_json json;
  json[options.image.empty() ? "words" : "image"] = options.image.empty() ? options.words : options.image;
  json["index"] = options.index;
  json["searched"] = index.names.size();
  json["hits"] = list;
  if (!options.contact_sheet.empty()) json["contact_sheet"] = options.contact_sheet;
  return json;
}

void run_search(Options options) {
  CUCLIP_CHECK(options.words.empty() != options.image.empty(),
               "search: expected either words or --image FILE, found {}",
               options.words.empty() ? "neither" : "both");
  const std::string extension = fs::path(options.contact_sheet).extension();
  CUCLIP_CHECK(options.contact_sheet.empty() || extension == ".png" || extension == ".svg",
               "--contact-sheet {}: expected a name that ends in .png or .svg", options.contact_sheet);
  if (!options.contact_sheet.empty()) check_can_write(options.contact_sheet);
  Context reading(1);
  const FeatureIndex index = load_index(reading, options.index);
  if (options.model.model.empty()) options.model.model = index.model;
  Session session(options.model);
  CUCLIP_CHECK(model_fingerprint(session.model()) == index.model_fingerprint,
               "{}: this index was made with other weights (of {}) than those of {}; make it again with this "
               "model, or "
               "give the other as --model",
               options.index, index.model, session.loaded.description);
  const std::vector<Hit> hits =
      search_index(session.context, index, encode_query(options, session), options.top);
  if (!options.contact_sheet.empty()) draw_hits(options, index, hits);
  if (options.json) return print_json(hits_json(options, index, hits));
  print_hits(index, hits);
}

}  // namespace

void add_search_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("search", "The pictures of an index that fit words or a picture best");
  command->add_option("index", options->index, "File made by cuclip index")->required();
  command->add_option("words", options->words, "What to look for");
  command->add_option("--image", options->image, "Look for pictures like this one instead");
  command->add_option("--top", options->top, "How many")->check(CLI::PositiveNumber)->capture_default_str();
  command->add_option("--contact-sheet", options->contact_sheet, "Draw the pictures found, .png or .svg");
  command->add_flag("--json", options->json, "Print JSON");
  add_model_flags(command, options->model, false);
  command->footer(
      "Prints rank, cosine similarity and picture. Without --model, the one that made the index is "
      "used.\nExample:\n"
      "  cuclip search photos.cuclip-index \"a red bicycle\" --top 12 --contact-sheet found.png");
  command->callback([options] { run_search(*options); });
}

}  // namespace cuclip
