// How well pictures are put into classes, and how sure the figures are.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

namespace cuclip {

struct Interval {
  double low = 0, high = 0;
};

/// The 95 % confidence interval of a share, `right` of `count` pictures, by Wilson's score (Wilson 1927,
/// "Probable Inference, the Law of Succession, and Statistical Inference"). It lies in 0…1 and has a width
/// also where all or none are right, however few there are. Throws InputError unless 0 <= right <= count
/// and count > 0.
Interval wilson_interval(int64_t right, int64_t count);

struct ClassificationMetrics {
  int64_t pictures = 0;
  double top1 = 0, top5 = 0;              // shares of pictures
  Interval top1_interval, top5_interval;  // by wilson_interval
  double mean_per_class = 0;              // top-1 accuracy averaged over the classes that have pictures
  std::vector<double> class_accuracy;     // top-1, of each class; NaN where it has no picture
  std::vector<int64_t> class_pictures;
  std::vector<int32_t> labels, predicted;  // of each picture: its class, and the one it is put into
};

/// best [N, k]: the k classes that each picture is most likely of, best first; labels [N] in [0, classes).
/// top5 counts the first five, or all k where there are fewer. Throws InputError if sizes do not fit, a label
/// is outside, or there is no picture.
ClassificationMetrics classification_metrics(std::span<const int32_t> best, std::span<const int32_t> labels,
                                             int64_t classes);

/// Whether top5 says anything: of five classes or fewer it is always 1.
inline bool has_top5(int64_t classes) { return classes > 5; }

/// {"pictures", "top1", "top1_interval": [low, high], "top5", "top5_interval" (both where has_top5),
///  "mean_per_class", "chance", "classes": [{"class", "accuracy" (null where there is no picture),
///  "pictures"}, ...]}; shares in 0…1.
nlohmann::ordered_json to_json(const ClassificationMetrics& metrics, std::span<const std::string> classes);

/// Who is taken for whom: a row for each class with pictures and a column for each class.
struct ConfusionTable {
  std::vector<std::string> rows, columns;
  std::vector<float> shares;  // [rows, columns]: of a row's pictures, those put into the column
  int64_t classes = 0;        // how many there are, with those that are not shown
};

/// All classes if there are at most `most`; otherwise the `most` that are in most mistakes on either side,
/// in their order, and a last column "(others)".
ConfusionTable confusion_table(const ClassificationMetrics& metrics, std::span<const std::string> classes,
                               int64_t most);

}  // namespace cuclip
