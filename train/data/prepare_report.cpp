#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/counted.h"
#include "models/files/names.h"
#include "train/data/caption_words.h"
#include "train/data/prepare.h"

namespace cuclip {
namespace {

constexpr size_t kMostFrequent = 5;

nlohmann::json to_json(const CaptionStatistics& statistics) {
  nlohmann::json frequent = nlohmann::json::array();
  for (const auto& [caption, pictures] : statistics.most_frequent) {
    frequent.push_back({{"caption", caption}, {"pictures", pictures}});
  }
  return {{"pictures", statistics.pictures},
          {"captions", statistics.captions},
          {"distinct_captions", statistics.distinct_captions},
          {"mean_words", statistics.mean_words},
          {"most_frequent", frequent}};
}

std::string frequent_captions(const CaptionStatistics& statistics) {
  std::string text;
  for (const auto& [caption, pictures] : statistics.most_frequent) {
    text += fmt::format("  {:>6} x {}\n", pictures, shortened_name(caption));
  }
  return text;
}

}  // namespace

void CaptionCounter::add(const std::string& first_caption, int64_t captions) {
  ++pictures_;
  captions_ += captions;
  words_ += std::ssize(caption_words(first_caption));
  ++counts_[first_caption];
}

CaptionStatistics CaptionCounter::statistics() const {
  CaptionStatistics statistics{.pictures = pictures_,
                               .captions = captions_,
                               .distinct_captions = std::ssize(counts_),
                               .mean_words = 0,
                               .most_frequent = {counts_.begin(), counts_.end()}};
  if (pictures_ > 0) statistics.mean_words = static_cast<double>(words_) / static_cast<double>(pictures_);
  auto& frequent = statistics.most_frequent;
  std::stable_sort(frequent.begin(), frequent.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  frequent.resize(std::min(frequent.size(), kMostFrequent));
  return statistics;
}

std::string to_text(const PrepareReport& report) {
  std::string text = fmt::format("{:<24}{:>10}{:>10}{:>10}\n", "", "in source", "train", "held out");
  auto line = [&](const char* name, auto field) {
    text += fmt::format("{:<24}{:>10}{:>10}{:>10}\n", name, field(report.before), field(report.train),
                        field(report.held_out));
  };
  line("pictures", [](const CaptionStatistics& s) { return fmt::format("{}", s.pictures); });
  line("captions", [](const CaptionStatistics& s) { return fmt::format("{}", s.captions); });
  line("distinct captions",
       [](const CaptionStatistics& s) { return fmt::format("{}", s.distinct_captions); });
  line("words in a caption", [](const CaptionStatistics& s) { return fmt::format("{:.1f}", s.mean_words); });
  text += "\nleft out\n";
  for (const auto& [reason, pictures] : report.left_out.by_reason) {
    text += fmt::format("  {:<32}{:>6}\n", reason, pictures);
  }
  if (report.left_out.damaged > 0) {
    text += "\ndamaged pictures used: " + report.left_out.damage_summary() + "\n";
  }
  for (const std::string& note : report.notes) text += "  " + note + "\n";
  text += "\nmost frequent captions in the source\n" + frequent_captions(report.before);
  text += "most frequent captions to train on\n" + frequent_captions(report.train);
  text += fmt::format("\n{} to train on, {} held out, in {:.1f} s\n",
                      counted(std::ssize(report.train_shards), "shard"), report.held_out_shards.size(),
                      report.seconds);
  return text;
}

std::string to_json(const PrepareReport& report, const PrepareOptions& options) {
  const nlohmann::json document = {{"options",
                                    {{"from", options.from},
                                     {"image_size", options.image_size},
                                     {"max_pixels", options.max_pixels},
                                     {"held_out", options.held_out},
                                     {"max_per_caption", options.max_per_caption},
                                     {"max_per_series", options.max_per_series},
                                     {"samples_per_shard", options.samples_per_shard}}},
                                   {"before", to_json(report.before)},
                                   {"train", to_json(report.train)},
                                   {"held_out", to_json(report.held_out)},
                                   {"left_out", report.left_out.by_reason},
                                   {"damaged_pictures_used", report.left_out.damaged},
                                   {"notes", report.notes},
                                   {"train_shards", report.train_shards},
                                   {"shard_bytes", report.shard_bytes},
                                   {"held_out_shards", report.held_out_shards},
                                   {"seconds", report.seconds}};
  return document.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n";
}

}  // namespace cuclip
