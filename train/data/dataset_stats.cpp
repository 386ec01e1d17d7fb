#include "train/data/dataset_stats.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <optional>

#include "kernels/common/parallel.h"
#include "models/files/names.h"
#include "train/data/caption_words.h"
#include "train/data/duplicates.h"
#include "train/data/sample_store.h"

namespace cuclip {
namespace {

struct Seen {
  std::optional<SampleError> error;
  std::string damage;
  std::string caption;
  int64_t captions = 0;
  int width = 0, height = 0;
  PictureFingerprint fingerprint;
};

Seen look_at(const Dataset& dataset, int64_t index, bool decode, int64_t max_pixels) {
  Seen seen;
  try {
    if (decode) {
      const DecodedSample sample = decode_sample(dataset, index, {.max_pixels = max_pixels});
      seen.caption = sample.captions.at(0);
      seen.captions = std::ssize(sample.captions);
      seen.damage = sample.picture.damage;
      seen.width = sample.picture.width;
      seen.height = sample.picture.height;
      seen.fingerprint = fingerprint_of(sample.picture);
    } else {
      const std::vector<std::string> captions = dataset.captions(index);
      seen.caption = captions.at(0);
      seen.captions = std::ssize(captions);
    }
  } catch (const SampleError& error) {
    seen.error = error;
  }
  return seen;
}

void add_pictures(DatasetStatistics& statistics, const std::vector<Seen>& all) {
  std::vector<PictureFingerprint> fingerprints;
  for (const Seen& seen : all) {
    if (seen.error) continue;
    const bool first = fingerprints.empty();
    statistics.min_width = first ? seen.width : std::min<int64_t>(statistics.min_width, seen.width);
    statistics.min_height = first ? seen.height : std::min<int64_t>(statistics.min_height, seen.height);
    statistics.max_width = std::max<int64_t>(statistics.max_width, seen.width);
    statistics.max_height = std::max<int64_t>(statistics.max_height, seen.height);
    fingerprints.push_back(seen.fingerprint);
  }
  const std::vector<int64_t> groups = group_duplicates(fingerprints, {});
  for (size_t i = 0; i < groups.size(); ++i) {
    statistics.duplicate_pictures += groups[i] != static_cast<int64_t>(i);
  }
}

}  // namespace

DatasetStatistics dataset_statistics(const Dataset& dataset, bool decode, int64_t max_pixels, int threads) {
  std::vector<Seen> all(static_cast<size_t>(dataset.size()));
  ThreadPool pool(threads);
  pool.run(dataset.size(),
           [&](int64_t i, int) { all[static_cast<size_t>(i)] = look_at(dataset, i, decode, max_pixels); });
  DatasetStatistics statistics;
  statistics.description = dataset.describe();
  statistics.samples = dataset.size();
  statistics.bad = dataset.bad();
  statistics.notes = dataset.notes();
  CaptionCounter counter;
  for (const Seen& seen : all) {
    if (seen.error) {
      statistics.bad.add(seen.error->reason(), seen.error->what());
    } else {
      statistics.bad.add_damaged(seen.damage);
      counter.add(seen.caption, seen.captions);
      statistics.max_words = std::max(statistics.max_words, std::ssize(caption_words(seen.caption)));
    }
  }
  statistics.captions = counter.statistics();
  statistics.repeated_captions = statistics.captions.pictures - statistics.captions.distinct_captions;
  if (decode) add_pictures(statistics, all);
  return statistics;
}

std::string to_text(const DatasetStatistics& s) {
  std::string text = s.description + "\n";
  auto line = [&](const char* name, const auto& value) {
    text += fmt::format("{:<24}{:>10}\n", name, value);
  };
  line("usable samples", s.captions.pictures);
  line("captions", s.captions.captions);
  line("distinct first captions", s.captions.distinct_captions);
  line("repeated first captions", s.repeated_captions);
  line("words in a caption", fmt::format("{:.1f}", s.captions.mean_words));
  line("longest caption, words", s.max_words);
  if (s.max_width > 0) {
    line("duplicate pictures", s.duplicate_pictures);
    line("widths", fmt::format("{}-{}", s.min_width, s.max_width));
    line("heights", fmt::format("{}-{}", s.min_height, s.max_height));
  }
  line("bad samples", s.bad.count);
  for (const auto& [reason, samples] : s.bad.by_reason)
    text += fmt::format("  {:<32}{:>6}\n", reason, samples);
  for (const std::string& example : s.bad.examples) text += "  for example: " + example + "\n";
  if (s.max_width > 0) line("damaged pictures used", s.bad.damaged);
  if (s.bad.damaged > 0) text += "  the first: " + s.bad.first_damaged + "\n";
  for (const std::string& note : s.notes) text += note + "\n";
  text += "most frequent first captions\n";
  for (const auto& [caption, pictures] : s.captions.most_frequent) {
    text += fmt::format("  {:>6} x {}\n", pictures, shortened_name(caption));
  }
  return text;
}

std::string to_json(const DatasetStatistics& s) {
  nlohmann::json frequent = nlohmann::json::array();
  for (const auto& [caption, pictures] : s.captions.most_frequent) {
    frequent.push_back({{"caption", caption}, {"pictures", pictures}});
  }
  const nlohmann::json document = {
      {"description", s.description},
      {"samples", s.samples},
      {"usable", s.captions.pictures},
      {"captions", s.captions.captions},
      {"distinct_captions", s.captions.distinct_captions},
      {"repeated_captions", s.repeated_captions},
      {"mean_words", s.captions.mean_words},
      {"max_words", s.max_words},
      {"duplicate_pictures", s.duplicate_pictures},
      {"width", {{"min", s.min_width}, {"max", s.max_width}}},
      {"height", {{"min", s.min_height}, {"max", s.max_height}}},
      {"most_frequent", frequent},
      {"notes", s.notes},
      {"bad", {{"count", s.bad.count}, {"by_reason", s.bad.by_reason}, {"examples", s.bad.examples}}},
      {"damaged_pictures_used", {{"count", s.bad.damaged}, {"first", s.bad.first_damaged}}}};
  return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace cuclip
