#include "models/inference/classification.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/common/check.h"
#include "models/files/names.h"

namespace cuclip {
namespace {

void set_class_accuracies(ClassificationMetrics& metrics, int64_t classes) {
  metrics.class_accuracy.assign(static_cast<size_t>(classes), 0.0);
  metrics.class_pictures.assign(static_cast<size_t>(classes), 0);
  for (size_t i = 0; i < metrics.labels.size(); ++i) {
    const auto label = static_cast<size_t>(metrics.labels[i]);
    metrics.class_accuracy[label] += metrics.predicted[i] == metrics.labels[i];
    metrics.class_pictures[label]++;
  }
  int64_t seen = 0;
  for (size_t c = 0; c < metrics.class_accuracy.size(); ++c) {
    // A class without pictures has 0 / 0, which is NaN.
    metrics.class_accuracy[c] /= static_cast<double>(metrics.class_pictures[c]);
    if (metrics.class_pictures[c] == 0) continue;
    metrics.mean_per_class += metrics.class_accuracy[c];
    seen++;
  }
  metrics.mean_per_class /= static_cast<double>(seen);
}

// The classes to show, ascending: those in most mistakes, on either side.
std::vector<size_t> most_mistaken(const ClassificationMetrics& metrics, size_t classes, size_t most) {
  std::vector<size_t> order(classes);
  std::iota(order.begin(), order.end(), size_t{0});
  if (classes <= most) return order;
  std::vector<int64_t> mistakes(classes);
  for (size_t i = 0; i < metrics.labels.size(); ++i) {
    if (metrics.predicted[i] == metrics.labels[i]) continue;
    mistakes[static_cast<size_t>(metrics.labels[i])]++;
    mistakes[static_cast<size_t>(metrics.predicted[i])]++;
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return mistakes[a] > mistakes[b]; });
  order.resize(most);
  std::sort(order.begin(), order.end());
  return order;
}

}  // namespace

Interval wilson_interval(int64_t right, int64_t count) {
  CUCLIP_CHECK(count > 0 && right >= 0 && right <= count, "interval of a share: {} of {} are right", right,
               count);
  constexpr double kZ = 1.959963984540054;  // the normal distribution's 97.5th percentile
  const auto n = static_cast<double>(count);
  const double share = static_cast<double>(right) / n, shrink = 1 / (1 + kZ * kZ / n);
  const double centre = shrink * (share + kZ * kZ / (2 * n));
  const double half = shrink * kZ * std::sqrt(share * (1 - share) / n + kZ * kZ / (4 * n * n));
  // Roundings must not put the share itself outside.
  return {.low = std::min(share, std::max(0.0, centre - half)),
          .high = std::max(share, std::min(1.0, centre + half))};
}

ClassificationMetrics classification_metrics(std::span<const int32_t> best, std::span<const int32_t> labels,
                                             int64_t classes) {
  CUCLIP_CHECK(!labels.empty() && !best.empty() && best.size() % labels.size() == 0,
               "classification: {} labels for {} most likely classes", labels.size(), best.size());
  const size_t k = best.size() / labels.size();
  int64_t first = 0, among_five = 0;
  ClassificationMetrics metrics;
  for (size_t i = 0; i < labels.size(); ++i) {
    const int32_t label = labels[i];
    CUCLIP_CHECK(label >= 0 && label < classes,
                 "classification: label {} of picture {}, there are {} classes", label, i, classes);
    const auto row = best.subspan(i * k, std::min<size_t>(k, 5));
    first += row[0] == label;
    among_five += std::find(row.begin(), row.end(), label) != row.end();
    metrics.predicted.push_back(row[0]);
  }
  metrics.labels.assign(labels.begin(), labels.end());
  metrics.pictures = std::ssize(labels);
  metrics.top1 = static_cast<double>(first) / static_cast<double>(metrics.pictures);
  metrics.top5 = static_cast<double>(among_five) / static_cast<double>(metrics.pictures);
  metrics.top1_interval = wilson_interval(first, metrics.pictures);
  metrics.top5_interval = wilson_interval(among_five, metrics.pictures);
  set_class_accuracies(metrics, classes);
  return metrics;
}

nlohmann::ordered_json to_json(const ClassificationMetrics& metrics, std::span<const std::string> classes) {
  using Json = nlohmann::ordered_json;
  auto per_class = Json::array();
  for (size_t c = 0; c < classes.size(); ++c) {
    Json entry;
    put_name(entry, "class", classes[c]);
    entry["accuracy"] = metrics.class_pictures[c] > 0 ? Json(metrics.class_accuracy[c]) : Json();
    entry["pictures"] = metrics.class_pictures[c];
    per_class.push_back(std::move(entry));
  }
  const auto bounds = [](const Interval& interval) { return Json::array({interval.low, interval.high}); };
  Json json = {{"pictures", metrics.pictures},
               {"top1", metrics.top1},
               {"top1_interval", bounds(metrics.top1_interval)}};
  if (has_top5(std::ssize(classes))) {
    json["top5"] = metrics.top5;
    json["top5_interval"] = bounds(metrics.top5_interval);
  }
  json["mean_per_class"] = metrics.mean_per_class;
  json["chance"] = 1.0 / static_cast<double>(classes.size());
  json["classes"] = std::move(per_class);
  return json;
}

ConfusionTable confusion_table(const ClassificationMetrics& metrics, std::span<const std::string> classes,
                               int64_t most) {
  const std::vector<size_t> shown = most_mistaken(metrics, classes.size(), static_cast<size_t>(most));
  const bool others = shown.size() < classes.size();
  ConfusionTable table{.rows = {}, .columns = {}, .shares = {}, .classes = std::ssize(classes)};
  std::vector<size_t> column_of(classes.size(), shown.size());  // of those not shown: the last
  for (size_t column = 0; column < shown.size(); ++column) {
    column_of[shown[column]] = column;
    table.columns.push_back(classes[shown[column]]);
  }
  if (others) table.columns.emplace_back("(others)");
  std::vector<int64_t> counts(shown.size() * table.columns.size());
  for (size_t i = 0; i < metrics.labels.size(); ++i) {
    const size_t row = column_of[static_cast<size_t>(metrics.labels[i])];
    if (row == shown.size()) continue;
    counts[row * table.columns.size() + column_of[static_cast<size_t>(metrics.predicted[i])]]++;
  }
  for (size_t row = 0; row < shown.size(); ++row) {
    const int64_t pictures = metrics.class_pictures[shown[row]];
    if (pictures == 0) continue;
    table.rows.push_back(classes[shown[row]]);
    for (size_t column = 0; column < table.columns.size(); ++column) {
      table.shares.push_back(static_cast<float>(counts[row * table.columns.size() + column]) /
                             static_cast<float>(pictures));
    }
  }
  return table;
}

}  // namespace cuclip
