// cuclip data: makes training sets out of pictures with captions, and says what is in one.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/files/names.h"
#include "train/cli/commands.h"
#include "train/cli/csv_flags.h"
#include "train/cli/flag_values.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/data/dataset_stats.h"
#include "train/data/prepare.h"
#include "train/data/prepared_set.h"

namespace cuclip {
namespace {

struct Options {
  PrepareOptions prepare;
  std::string spec;
  bool force = false;
  bool json = false;
  bool captions_only = false;
  int64_t max_pixels = 100'000'000;
  int threads = 0;
};

// The statistics that an earlier run with the same options left, if all its shards are there in their whole
// size; empty otherwise.
std::string earlier_result(const PrepareOptions& options) {
  const std::filesystem::path file = options.out / kStatistics;
  if (!path_exists(file)) return "";
  const std::string text = read_file(file);
  const nlohmann::json found = nlohmann::json::parse(text, nullptr, false);
  const nlohmann::json wanted = nlohmann::json::parse(to_json(PrepareReport{}, options));
  if (!found.is_object() || found.value("options", nlohmann::json()) != wanted.at("options")) return "";
  const nlohmann::json sizes =
      found.value("shard_bytes", nlohmann::json());  // none in earlier versions' sets
  for (const char* shards : {"train_shards", "held_out_shards"}) {
    for (const nlohmann::json& entry : found.value(shards, nlohmann::json::array())) {
      if (!entry.is_string()) return "";
      const auto name = entry.get<std::string>();
      std::error_code missing;
      const uintmax_t bytes = std::filesystem::file_size(options.out / name, missing);
      if (missing || !sizes.contains(name) || sizes[name] != bytes) return "";
    }
  }
  return text;
}

void prepare(const Options& options) {
  const std::string earlier = options.force ? "" : earlier_result(options.prepare);
  if (!earlier.empty()) {
    warn(options.prepare.out.string() +
         " already exists, made with the same options; --force rebuilds it (its sources were not compared)");
    const std::set<std::string> own = listed_shards(options.prepare.out);
    for (const std::string& name : shards_in(options.prepare.out)) {
      if (!own.contains(name)) warn((options.prepare.out / name).string() + " does not belong to this set");
    }
    if (options.json) fmt::print("{}", earlier);
    return;
  }
  if (!options.force) check_replaceable(options.prepare);
  make_folder(options.prepare.out);
  const PrepareReport report = prepare_dataset(options.prepare);
  fmt::print("{}", options.json ? to_json(report, options.prepare) : escaped_text(to_text(report)));
}

void stats(const Options& options) {
  const auto dataset = open_dataset(options.spec, options.prepare.dataset);
  const DatasetStatistics statistics =
      dataset_statistics(*dataset, !options.captions_only, options.max_pixels, options.threads);
  fmt::print("{}", options.json ? to_json(statistics) : escaped_text(to_text(statistics)));
  CUCLIP_CHECK(statistics.captions.pictures > 0, "{}: no usable sample; left out: {}", options.spec,
               statistics.bad.summary());
}

void add_prepare(CLI::App* command, const std::shared_ptr<Options>& options) {
  CLI::App* sub = command->add_subcommand("prepare", "Clean, balance, split and write WebDataset shards");
  PrepareOptions& prepare_options = options->prepare;
  sub->add_option(
         "--from", prepare_options.from,
         "collections or collections:FOLDER (every known one that is there), one of them (openclipart, "
         "tuxpaint, ...), a folder, a .csv/.tsv or shards; may be given several times")
      ->required();
  never_empty(sub->add_option("--out", prepare_options.out, "Folder for the shards and statistics.json"))
      ->required();
  const auto number = [sub](const char* flag, auto& value, const WholeRange& range, const char* help) {
    limit(sub->add_option(flag, value, help), range)->capture_default_str();
  };
  PrepareOptions& p = prepare_options;
  number("--image-size", p.image_size, {8, 4096}, "Shrink the shorter edge to this many pixels");
  number("--max-pixels", p.max_pixels, {1, kMostOfAnything}, "Leave larger pictures out");
  number("--held-out", p.held_out, {0, kMostOfAnything},
         "Pairs with distinct captions to keep out of training");
  number("--max-per-caption", p.max_per_caption, {1, kMostOfAnything}, "Pictures with the same caption");
  number("--max-per-series", p.max_per_series, {1, kMostOfAnything},
         "Pictures whose captions differ only in numbers");
  number("--samples-per-shard", p.samples_per_shard, {1, kMostOfAnything}, "Samples in a shard");
  number("--threads", p.threads, thread_range(), kThreadsHelp);
  add_csv_flags(sub, prepare_options.dataset);
  sub->add_flag(
      "--force", options->force,
      "Rebuild it even if it is there, was made with other options, or has shards that others wrote");
  sub->add_flag("--json", options->json, "Print the statistics as JSON");
  sub->callback([options] { prepare(*options); });
}

void add_stats(CLI::App* command, const std::shared_ptr<Options>& options) {
  CLI::App* sub =
      command->add_subcommand("stats", "Counts, caption lengths, duplicates and bad samples of a data set");
  sub->add_option("spec", options->spec,
                  "shards-{000..012}.tar, a .csv/.tsv, a folder, or synthetic:shapes; several joined with ::")
      ->required();
  sub->add_flag("--captions-only", options->captions_only, "Do not decode the pictures");
  limit(sub->add_option("--max-pixels", options->max_pixels, "Treat larger pictures as bad samples"),
        WholeRange{1, kMostOfAnything})
      ->capture_default_str();
  limit(sub->add_option("--threads", options->threads, kThreadsHelp), thread_range())->capture_default_str();
  add_csv_flags(sub, options->prepare.dataset);
  sub->add_flag("--json", options->json, "Print JSON");
  sub->callback([options] { stats(*options); });
}

}  // namespace

void add_data_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("data", "Prepare a data set or print its statistics");
  command->require_subcommand(1);
  command->footer(
      "Example:\n"
      "  cuclip data prepare --from collections:fetched --held-out 500 --out pairs\n"
      "  cuclip data prepare --from photos.csv --image-size 256 --out photos\n"
      "  cuclip data stats \"pairs/train-*.tar\"");
  add_prepare(command, options);
  add_stats(command, options);
}

}  // namespace cuclip
