#include "train/loop/report.h"

#include <cmath>
#include <sstream>

#include "core/file_io.h"
#include "core/precision.h"
#include "core/rows.h"
#include "kernels/similarity/similarity.h"
#include "models/clip/clip_size.h"
#include "models/files/names.h"
#include "models/inference/checkpoint_folders.h"
#include "models/inference/encode.h"
#include "models/inference/model_source.h"
#include "models/inference/retrieval.h"
#include "train/data/eval_data.h"
#include "train/data/search_eval.h"
#include "train/data/shared_pairs.h"
#include "train/draw/heat_map.h"
#include "train/draw/line_chart.h"
#include "train/loop/checkpoint.h"
#include "train/loop/machine_peak.h"

namespace cuclip {
namespace {

using nlohmann::ordered_json;
namespace fs = std::filesystem;

constexpr int64_t kMatrixPairs = 8;

draw::Scene loss_drawing(const fs::path& metrics) {
  draw::Series raw{.name = "each logged step", .x = {}, .y = {}, .pale = true};
  std::istringstream lines(read_file(metrics));
  for (std::string line; std::getline(lines, line);) {
    const auto json = nlohmann::json::parse(line, nullptr, false);
    if (!json.is_object() || !json.contains("step") || !json["loss"].is_number()) continue;
    raw.x.push_back(json["step"].get<double>());
    raw.y.push_back(json["loss"].get<double>());
  }
  draw::Series smooth{.name = "smoothed", .x = raw.x, .y = draw::smoothed(raw.y, 0.6)};
  return draw::line_chart({.title = "Training loss",
                           .subtitle = "symmetric contrastive cross-entropy",
                           .x_label = "step",
                           .y_label = "loss",
                           .series = {raw, smooth},
                           .y_from_zero = true});
}

// Pairs at even intervals through the held-out set.
draw::Scene matrix_drawing(const LoadedModel& loaded, const EvalData& data) {
  const int64_t count = std::min(kMatrixPairs, data.count());
  const int size = loaded.model->config().vision.image_size;
  const size_t bytes = static_cast<size_t>(size) * static_cast<size_t>(size) * 3;
  std::vector<Image> images;
  std::vector<uint8_t> pixels;
  std::vector<std::string> captions;
  for (int64_t i = 0; i < count; ++i) {
    const auto at = static_cast<size_t>(i * data.count() / count);
    const uint8_t* from = data.images.data() + at * bytes;
    images.push_back({.width = size, .height = size, .rgb = std::vector<uint8_t>(from, from + bytes)});
    pixels.insert(pixels.end(), from, from + bytes);
    captions.push_back(data.captions[at].front());
  }
  Context& context = loaded.model->context();
  const Tensor image = encode_pixels(*loaded.model, pixels);
  const Tensor text = encode_texts(*loaded.model, loaded.tokenizer(), captions);
  const Tensor scores = Tensor::empty(context, {count, count}, DType::f32);
  cosine_similarity({.a = image, .b = text, .out = scores}, context.exec());
  const std::vector<float> values = scores.to_floats();
  return draw::heat_map({.title = "Held-out pictures and captions",
                         .subtitle = "cosine similarity; the right pairs are on the diagonal",
                         .values = values,
                         .rows = static_cast<int>(count),
                         .columns = static_cast<int>(count),
                         .row_images = images,
                         .row_labels = {},
                         .column_labels = captions});
}

// {"held_out": the means of searches among the held-out pictures alone, "all": among those trained on as
// well}.
ordered_json search_figures(const LoadedModel& loaded, const EvalData& held_out, const Dataset& train_data) {
  PictureCollection collection{
      .features = encode_pixels(*loaded.model, held_out.images), .captions = held_out.captions, .bad = {}};
  const auto means = [&] {
    return means_json(evaluate_search(*loaded.model, loaded.tokenizer(), collection, everyday_words()));
  };
  ordered_json figures = {{"held_out", means()}};
  // Whether enough of them are good was the training's business.
  const PictureCollection seen = encode_collection(*loaded.model, train_data, kMostPicturesSearched, 1.0);
  collection.features = concatenate(loaded.model->context(), {collection.features, seen.features});
  collection.captions.insert(collection.captions.end(), seen.captions.begin(), seen.captions.end());
  figures["all"] = means();
  return figures;
}

}  // namespace

ordered_json write_report(Context& context, const ReportInputs& inputs) {
  std::vector<std::string> notes;
  const auto checkpoint = latest_checkpoint(inputs.run, notes, read_train_state);
  CUCLIP_CHECK(checkpoint, "{} has no checkpoint", inputs.run.string());
  const LoadedModel loaded = load_model(context, checkpoint->string());
  const TrainState state = read_train_state(*checkpoint);
  const auto train_data = open_dataset(inputs.train_data), val_data = open_dataset(inputs.val_data);
  const ClipConfig& config = loaded.model->config();
  const EvalData data = load_eval_data(*val_data, config.evaluation_transform(), context.exec().pool->size());
  const RetrievalMetrics metrics = evaluate_retrieval(*loaded.model, loaded.tokenizer(), data);
  const auto precision =
      parse_word<Precision>(checkpoint->string() + ": the precision", read_setting(*checkpoint, "precision"));
  const double peak = matrix_product_peak(context, activation_dtype(precision));
  const double flops_per_second = state.train_seconds > 0 ? state.model_flops / state.train_seconds : 0;

  ordered_json report = to_json(metrics);
  report["search"] = search_figures(loaded, data, *train_data);
  report["model"] = read_setting(*checkpoint, "model");
  report["parameters"] = parameter_count(config);
  report["pairs_train"] = train_data->size();
  report["pairs_held_out"] = data.count();
  report["pairs_in_both"] = shared_pairs(*train_data, *val_data);
  report["steps"] = state.step;
  report["samples_seen"] = state.samples_seen;
  report["precision"] = word(precision);
  report["train_seconds"] = state.train_seconds;
  report["images_per_second"] =
      state.train_seconds > 0 ? static_cast<double>(state.samples_seen) / state.train_seconds : 0;
  report["data_wait_share"] = state.train_seconds > 0 ? state.wait_seconds / state.train_seconds : 0;
  report["gflop_per_second"] = flops_per_second / 1e9;
  report["peak_gflop_per_second"] = peak / 1e9;
  report["flop_utilisation"] = flops_per_second / peak;

  make_folder(inputs.out);
  // They belong together: none replaces an earlier one before all are written.
  std::vector<PendingFile> files;
  for (const auto& [name, contents] : {std::pair{kReportFile, json_text(report) + "\n"},
                                       {kLossDrawing, to_svg(loss_drawing(inputs.run / "metrics.jsonl"))},
                                       {kMatrixDrawing, to_svg(matrix_drawing(loaded, data))}}) {
    files.emplace_back(inputs.out / name, contents);
  }
  for (PendingFile& file : files) file.commit();
  return report;
}

}  // namespace cuclip
