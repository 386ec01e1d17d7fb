// What came of a finished run, in figures and pictures.
#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "core/context.h"

namespace cuclip {

/// What write_report writes into its folder.
inline constexpr const char* kReportFile = "report.json";
inline constexpr const char* kLossDrawing = "loss.svg";
inline constexpr const char* kMatrixDrawing = "matrix.svg";

/// So many pictures that were trained on are searched, the first ones: enough for a collection, few enough
/// to be encoded in minutes.
inline constexpr int64_t kMostPicturesSearched = 10'000;

struct ReportInputs {
  std::filesystem::path run;
  std::string train_data;  // what the run was trained on: counted, and searched with words
  std::string val_data;    // held-out pairs to evaluate on
  std::filesystem::path out;
};

/// Evaluates the run's newest checkpoint on the held-out pairs and writes to `out`, which is made:
///   report.json   retrieval in both directions and by chance, searches with everyday_words() (search_eval.h)
///                 among the pictures of both data sets and among the held-out ones alone, training time and
///                 throughput, share of the machine's matrix-product peak (measured here and now), share of
///                 time spent waiting for data, numbers of pairs; "pairs_in_both" that are not held out,
///                 since they were trained on (shared_pairs.h)
///   loss.svg      the loss curve
///   matrix.svg    similarities of eight held-out pictures and captions
/// Returns what report.json holds.
nlohmann::ordered_json write_report(Context& context, const ReportInputs& inputs);

}  // namespace cuclip
