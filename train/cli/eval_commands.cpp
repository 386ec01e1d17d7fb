#include "train/cli/eval_commands.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "core/counted.h"
#include "models/files/names.h"
#include "train/cli/csv_flags.h"
#include "train/cli/flag_values.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/draw/heat_map.h"

namespace cuclip {
namespace {

constexpr int64_t kMostClassesDrawn = 36;  // with more the labels would be too small to read

std::string name_of(const Corruption& corruption) {
  return fmt::format("{}:{}", word(corruption.kind), corruption.severity);
}

}  // namespace

nlohmann::ordered_json answer_about(const Session& session, const std::string& data) {
  nlohmann::ordered_json json;
  put_name(json, "model", session.loaded.description);
  put_name(json, "data", data);
  return json;
}

void add_pairs_flags(CLI::App* command, PairsFlags& flags) {
  command
      ->add_option(
          "--data", flags.data,
          "shards-{000..012}.tar, a .csv or .tsv, a folder, or synthetic:shapes; several joined with ::")
      ->required();
  limit(command->add_option("--limit", flags.limit, "Only the first N pictures; 0: all"),
        WholeRange{0, kMostOfAnything})
      ->capture_default_str();
  add_csv_flags(command, flags.dataset);
  limit(command->add_option("--max-bad-fraction", flags.max_bad_fraction,
                            "Fail if a larger fraction of samples is unusable"),
        RealRange{0, 1})
      ->capture_default_str();
  command->add_flag("--json", flags.json, kJsonHelp);
  add_model_flags(command, flags.model);
}

void refuse_given(std::span<CLI::Option* const> flags, const std::string& why) {
  for (const CLI::Option* flag : flags) CUCLIP_CHECK(flag->count() == 0, "{}: {}", flag->get_name(), why);
}

std::vector<CLI::Option*> add_labels_table_flags(CLI::App* command, std::string& image_column,
                                                 std::string& label_column) {
  return {
      add_csv_picture_flag(command, image_column),
      command->add_option("--csv-label-key", label_column, "CSV column with the label; by default label")};
}

void report_bad(const BadSamples& bad) {
  if (bad.count > 0) warn("samples left out: " + bad.summary());
  if (bad.damaged > 0) warn("damaged pictures used: " + bad.damage_summary());
}

void put_bad(nlohmann::ordered_json& json, const BadSamples& bad) {
  json["samples_left_out"] = bad.count;
  json["damaged_pictures_used"] = bad.damaged;
}

void print_metrics(const ClassificationMetrics& metrics, std::span<const std::string> classes) {
  fmt::print("{} of {} (chance {:.3f})\n", counted(metrics.pictures, "picture"),
             counted(std::ssize(classes), "class", "classes"), 1.0 / static_cast<double>(classes.size()));
  const auto line = [](const char* name, double value, const Interval& interval) {
    fmt::print("{:<14}  {:.3f}  (95 % interval {:.3f} to {:.3f})\n", name, value, interval.low,
               interval.high);
  };
  line("top-1", metrics.top1, metrics.top1_interval);
  if (has_top5(std::ssize(classes))) line("top-5", metrics.top5, metrics.top5_interval);
  fmt::print("{:<14}  {:.3f}\n", "mean per class", metrics.mean_per_class);
  for (size_t c = 0; c < classes.size(); ++c) {
    if (metrics.class_pictures[c] == 0) continue;
    fmt::print("  {:5.3f} of {:5}  {}\n", metrics.class_accuracy[c], metrics.class_pictures[c],
               escaped_name(classes[c]));
  }
}

CLI::Option* add_corrupt_flag(CLI::App* command, std::optional<Corruption>& corruption) {
  return command->add_option_function<std::string>(
      "--corrupt",
      [&corruption](const std::string& text) { corruption = parse_corruption("--corrupt", text); },
      fmt::format("Corrupt the pictures to test: KIND:SEVERITY, {}; 1 to 5",
                  fmt::join(kWords<CorruptionKind>, ", ")));
}

PictureChange change_of(const std::optional<Corruption>& corruption, const ClipModel& model) {
  if (!corruption) return {};
  return corruption_after(model.config().evaluation_transform(), *corruption);
}

void put_corruption(nlohmann::ordered_json& json, const std::optional<Corruption>& corruption) {
  if (corruption) json["corrupt"] = name_of(*corruption);
}

void print_corruption(const std::optional<Corruption>& corruption) {
  if (corruption) fmt::print("pictures corrupted by {}\n", name_of(*corruption));
}

CLI::Option* add_confusion_flag(CLI::App* command, std::string& file) {
  return never_empty(command->add_option(
      "--confusion", file,
      fmt::format("Which classes are taken for which, as a heat map, .svg or .png; of more than {} classes, "
                  "those with the most mistakes",
                  kMostClassesDrawn)));
}

void check_confusion_file(const std::string& file, const std::vector<std::string>& inputs) {
  if (file.empty()) return;
  const std::string extension = std::filesystem::path(file).extension();
  CUCLIP_CHECK(extension == ".svg" || extension == ".png",
               "--confusion {}: expected a name that ends in .svg or .png", file);
  check_can_write(file, kind_of_name(file, OutputKind::svg), inputs);
}

void draw_confusion(const std::string& file, const ClassificationMetrics& metrics,
                    std::span<const std::string> classes, const std::string& model,
                    const std::optional<Corruption>& corruption) {
  if (file.empty()) return;
  const ConfusionTable table = confusion_table(metrics, classes, kMostClassesDrawn);
  const std::string which =
      table.classes > kMostClassesDrawn
          ? fmt::format("the {} of {} classes with the most mistakes", kMostClassesDrawn, table.classes)
          : counted(table.classes, "class", "classes");
  const std::string subtitle =
      fmt::format("{}rows: true class, columns: chosen class, cells: share of the row; {}; {}",
                  corruption ? "corrupted by " + name_of(*corruption) + "; " : "", which, model);
  draw::write_scene(file, draw::heat_map({.title = "Confusion",
                                          .subtitle = subtitle,
                                          .values = table.shares,
                                          .rows = static_cast<int>(table.rows.size()),
                                          .columns = static_cast<int>(table.columns.size()),
                                          .row_images = {},
                                          .row_labels = table.rows,
                                          .column_labels = table.columns}));
}

}  // namespace cuclip
