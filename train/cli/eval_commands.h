// The measures of cuclip eval, a file each, and what several of them have in common.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "models/inference/classification.h"
#include "train/cli/model_flags.h"
#include "train/data/corruption.h"
#include "train/data/dataset.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cuclip {

struct Session;

/// Each adds its subcommand to `cuclip eval`.
void add_eval_retrieval(CLI::App* command);
void add_eval_search(CLI::App* command);
void add_eval_zero_shot(CLI::App* command);
void add_eval_probe(CLI::App* command);

/// The beginning of every answer in JSON: {"model", "data"}.
nlohmann::ordered_json answer_about(const Session& session, const std::string& data);

/// The flags of measures that take captioned pictures.
struct PairsFlags {
  ModelFlags model;
  std::string data;
  DatasetOptions dataset;
  int64_t limit = 0;
  double max_bad_fraction = 0.1;
  bool json = false;
};
void add_pairs_flags(CLI::App* command, PairsFlags& flags);

/// Refuses those of the flags that were given: "--count: WHY".
void refuse_given(std::span<CLI::Option* const> flags, const std::string& why);

/// The flags of measures that take labelled pictures, of which a folder has no use: --csv-img-key,
/// --csv-label-key.
std::vector<CLI::Option*> add_labels_table_flags(CLI::App* command, std::string& image_column,
                                                 std::string& label_column);

/// Samples that were left out, and damaged pictures that were not: on standard error, and in an answer.
void report_bad(const BadSamples& bad);
void put_bad(nlohmann::ordered_json& json, const BadSamples& bad);

/// Accuracies of a classification, then a line for each class that has pictures.
void print_metrics(const ClassificationMetrics& metrics, std::span<const std::string> classes);

/// --corrupt: what is done to the pictures to test, or nothing.
CLI::Option* add_corrupt_flag(CLI::App* command, std::optional<Corruption>& corruption);
PictureChange change_of(const std::optional<Corruption>& corruption, const ClipModel& model);
/// "blur:3", under "corrupt"; and a line that says it.
void put_corruption(nlohmann::ordered_json& json, const std::optional<Corruption>& corruption);
void print_corruption(const std::optional<Corruption>& corruption);

/// --confusion: where the drawing goes; empty: nowhere. What cannot be written is refused at once; `inputs`
/// are the files that are read.
CLI::Option* add_confusion_flag(CLI::App* command, std::string& file);
void check_confusion_file(const std::string& file, const std::vector<std::string>& inputs);
void draw_confusion(const std::string& file, const ClassificationMetrics& metrics,
                    std::span<const std::string> classes, const std::string& model,
                    const std::optional<Corruption>& corruption);

}  // namespace cuclip
