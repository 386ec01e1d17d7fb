#include "train/data/eval_data.h"

#include <algorithm>
#include <optional>

#include "kernels/common/parallel.h"
#include "train/data/sample_store.h"

namespace cuclip {
namespace {

struct Outcome {
  std::optional<SampleError> error;
  std::string damage;
  std::string key;
  std::vector<std::string> captions;
};

Outcome read_one(const Dataset& dataset, int64_t index, const EvaluationTransform& transform,
                 std::span<uint8_t> out) {
  try {
    DecodedSample sample = decode_sample(dataset, index);
    evaluation_pixels(sample.picture, transform, out);
    return {.error = {},
            .damage = std::move(sample.picture.damage),
            .key = std::move(sample.key),
            .captions = std::move(sample.captions)};
  } catch (const SampleError& error) {
    return {.error = error, .damage = {}, .key = {}, .captions = {}};
  }
}

}  // namespace

void check_bad_fraction(const Dataset& dataset, const BadSamples& bad, int64_t read,
                        double max_bad_fraction) {
  const auto all = static_cast<double>(read + dataset.bad().count);
  CUCLIP_CHECK(static_cast<double>(bad.count) <= max_bad_fraction * all,
               "{}: more than {:.3g} of the samples are bad (--max-bad-fraction): {}", dataset.describe(),
               max_bad_fraction, bad.summary());
}

EvalData load_eval_data(const Dataset& dataset, const EvaluationTransform& transform, int threads,
                        int64_t limit, double max_bad_fraction) {
  const int64_t count = limit > 0 ? std::min(limit, dataset.size()) : dataset.size();
  const int64_t bytes = int64_t{transform.size} * transform.size * 3;
  EvalData data;
  data.images.resize(static_cast<size_t>(count * bytes));
  std::vector<Outcome> outcomes(static_cast<size_t>(count));
  ThreadPool pool(threads);
  pool.run(count, [&](int64_t i, int) {
    const auto place =
        std::span(data.images).subspan(static_cast<size_t>(i * bytes), static_cast<size_t>(bytes));
    outcomes[static_cast<size_t>(i)] = read_one(dataset, i, transform, place);
  });
  data.bad = dataset.bad();
  for (int64_t i = 0; i < count; ++i) {
    Outcome& outcome = outcomes[static_cast<size_t>(i)];
    if (outcome.error) {
      data.bad.add(outcome.error->reason(), outcome.error->what());
      continue;
    }
    data.bad.add_damaged(outcome.damage);
    // Close the gaps that bad samples left.
    const int64_t place = data.count();
    if (place != i) std::copy_n(data.images.begin() + i * bytes, bytes, data.images.begin() + place * bytes);
    data.keys.push_back(std::move(outcome.key));
    data.captions.push_back(std::move(outcome.captions));
  }
  data.images.resize(static_cast<size_t>(data.count() * bytes));
  // Where none is good, all are bad.
  check_bad_fraction(dataset, data.bad, count, data.count() > 0 ? max_bad_fraction : 0);
  return data;
}

}  // namespace cuclip
