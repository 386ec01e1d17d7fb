#include "models/inference/retrieval.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "models/inference/encode.h"
#include "models/inference/score_rows.h"

namespace cuclip {
namespace {

// The right candidates of every query, in one array: those of query i are at [begin[i], begin[i + 1]).
struct Matches {
  std::vector<int64_t> begin, candidate;

  std::span<const int64_t> of(int64_t query) const {
    const auto i = static_cast<size_t>(query);
    return std::span(candidate).subspan(static_cast<size_t>(begin[i]),
                                        static_cast<size_t>(begin[i + 1] - begin[i]));
  }
};

Matches texts_of_images(int64_t images, std::span<const int64_t> image_of_text) {
  Matches matches;
  matches.begin.assign(static_cast<size_t>(images) + 1, 0);
  for (size_t m = 0; m < image_of_text.size(); ++m) {
    const int64_t image = image_of_text[m];
    CUCLIP_CHECK(image >= 0 && image < images, "retrieval: caption {} belongs to picture {}, there are {}", m,
                 image, images);
    matches.begin[static_cast<size_t>(image) + 1]++;
  }
  for (size_t i = 0; i < static_cast<size_t>(images); ++i) {
    CUCLIP_CHECK(matches.begin[i + 1] > 0, "retrieval: picture {} has no caption", i);
    matches.begin[i + 1] += matches.begin[i];
  }
  matches.candidate.resize(image_of_text.size());
  std::vector<int64_t> next(matches.begin.begin(), matches.begin.end() - 1);
  for (size_t m = 0; m < image_of_text.size(); ++m) {
    matches.candidate[static_cast<size_t>(next[static_cast<size_t>(image_of_text[m])]++)] =
        static_cast<int64_t>(m);
  }
  return matches;
}

Matches images_of_texts(std::span<const int64_t> image_of_text) {
  Matches matches;
  matches.candidate.assign(image_of_text.begin(), image_of_text.end());
  for (size_t m = 0; m <= image_of_text.size(); ++m) matches.begin.push_back(static_cast<int64_t>(m));
  return matches;
}

// NaN is never "below": a wrong candidate that scores NaN counts as ahead, and so does everything where the
// right one scores NaN.
int64_t rank_of(const float* scores, int64_t candidates, std::span<const int64_t> right) {
  float best = scores[right[0]];
  for (const int64_t r : right) best = scores[r] < best ? best : scores[r];
  int64_t not_below = 0;
  for (int64_t j = 0; j < candidates; ++j) not_below += !(scores[j] < best);
  for (const int64_t r : right) not_below -= !(scores[r] < best);
  return not_below + 1;
}

std::vector<int64_t> ranks(Context& context, const Tensor& queries, const Tensor& candidates,
                           const Matches& matches, const EvaluationPoll& poll) {
  std::vector<int64_t> result(static_cast<size_t>(queries.size(0)));
  const auto rank = [&](int64_t query, std::span<const float> scores) {
    result[static_cast<size_t>(query)] = rank_of(scores.data(), candidates.size(0), matches.of(query));
  };
  for_each_score_row(context, queries, candidates, rank, poll);
  return result;
}

// The probability that, with `candidates` in random order, one of the `right` ones is among the first k:
// 1 - C(candidates - right, k) / C(candidates, k).
double chance_of_hit(int64_t candidates, int64_t right, int64_t k) {
  if (k >= candidates) return 1.0;
  double miss = 1.0;
  for (int64_t i = 0; i < k; ++i) {
    miss *= static_cast<double>(std::max<int64_t>(0, candidates - right - i)) /
            static_cast<double>(candidates - i);
  }
  return 1.0 - miss;
}

double median(std::vector<int64_t> values) {
  const size_t half = values.size() / 2;
  std::nth_element(values.begin(), values.begin() + static_cast<int64_t>(half), values.end());
  const auto upper = static_cast<double>(values[half]);
  if (values.size() % 2 == 1) return upper;
  const int64_t lower = *std::max_element(values.begin(), values.begin() + static_cast<int64_t>(half));
  return 0.5 * (static_cast<double>(lower) + upper);
}

RetrievalDirection direction(Context& context, const Tensor& queries, const Tensor& candidates,
                             const Matches& matches, const EvaluationPoll& poll) {
  const std::vector<int64_t> all = ranks(context, queries, candidates, matches, poll);
  RetrievalDirection result{.queries = queries.size(0), .candidates = candidates.size(0)};
  const auto n = static_cast<double>(all.size());
  for (size_t d = 0; d < RetrievalDirection::kDepths.size(); ++d) {
    const int64_t k = RetrievalDirection::kDepths[d];
    result.recall[d] =
        static_cast<double>(std::count_if(all.begin(), all.end(), [k](int64_t r) { return r <= k; })) / n;
    for (int64_t i = 0; i < result.queries; ++i) {
      result.chance[d] += chance_of_hit(result.candidates, static_cast<int64_t>(matches.of(i).size()), k) / n;
    }
  }
  result.median_rank = median(all);
  return result;
}

EncodeProgress progress_of(const EvaluationPoll& poll) {
  return [&poll](int64_t) {
    if (poll) poll();
  };
}

// Sums of thousands of shares are off in their last few digits, which nobody wants to read.
double rounded(double share) { return std::round(share * 1e9) / 1e9; }

nlohmann::ordered_json to_json(const RetrievalDirection& d) {
  nlohmann::ordered_json json, chance;
  for (size_t i = 0; i < RetrievalDirection::kDepths.size(); ++i) {
    const std::string key = fmt::format("R@{}", RetrievalDirection::kDepths[i]);
    json[key] = rounded(d.recall[i]);
    chance[key] = rounded(d.chance[i]);
  }
  json["median_rank"] = d.median_rank;
  json["queries"] = d.queries;
  json["candidates"] = d.candidates;
  json["chance"] = chance;
  return json;
}

}  // namespace

RetrievalMetrics retrieval_metrics(Context& context, const Tensor& image, const Tensor& text,
                                   std::span<const int64_t> image_of_text, const EvaluationPoll& poll) {
  CUCLIP_CHECK(image.size(0) > 0 && text.size(0) > 0, "retrieval: there are no pairs");
  CUCLIP_CHECK(static_cast<int64_t>(image_of_text.size()) == text.size(0),
               "retrieval: {} captions have a picture, there are features of {}", image_of_text.size(),
               text.size(0));
  return {
      .image_to_text = direction(context, image, text, texts_of_images(image.size(0), image_of_text), poll),
      .text_to_image = direction(context, text, image, images_of_texts(image_of_text), poll)};
}

RetrievalMetrics evaluate_retrieval(const ClipModel& model, const Tokenizer& tokenizer, const Tensor& image,
                                    std::span<const std::vector<std::string>> captions,
                                    const EvaluationPoll& poll) {
  CUCLIP_CHECK(!captions.empty(), "retrieval: there are no pairs");
  std::vector<std::string> texts;
  std::vector<int64_t> image_of_text;
  for (size_t i = 0; i < captions.size(); ++i) {
    texts.insert(texts.end(), captions[i].begin(), captions[i].end());
    image_of_text.resize(texts.size(), static_cast<int64_t>(i));
  }
  return retrieval_metrics(model.context(), image, encode_texts(model, tokenizer, texts, progress_of(poll)),
                           image_of_text, poll);
}

RetrievalMetrics evaluate_retrieval(const ClipModel& model, const Tokenizer& tokenizer,
                                    const CaptionedPictures& data, const EvaluationPoll& poll) {
  CUCLIP_CHECK(data.count() > 0, "retrieval: there are no pairs");
  return evaluate_retrieval(model, tokenizer, encode_pixels(model, data.images, progress_of(poll)),
                            data.captions, poll);
}

nlohmann::ordered_json to_json(const RetrievalMetrics& metrics) {
  return {{"image_to_text", to_json(metrics.image_to_text)},
          {"text_to_image", to_json(metrics.text_to_image)}};
}

}  // namespace cuclip
