// labels: threads
// Pictures that are used although their data is damaged: counted once each, and one named,
// wherever they come in.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "models/inference/encode.h"
#include "tests/train/damaged_pictures.h"
#include "train/data/dataset_stats.h"
#include "train/data/eval_data.h"
#include "train/data/loader.h"
#include "train/data/prepare.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

TEST_CASE("the loader uses damaged pictures, and counts each once over all epochs, kept in memory or not") {
  const TemporaryFolder folder;
  write_damaged_pairs(folder);
  const auto dataset = open_dataset(folder / "in");
  for (const int64_t cache_bytes : {int64_t{0}, int64_t{1} << 30}) {
    for (const int workers : {0, 3}) {
      Loader loader(*dataset,
                    {.batch_size = 5, .image_size = 16, .workers = workers, .cache_bytes = cache_bytes});
      for (int batch = 0; batch < 8; ++batch) CHECK(loader.next().bad_samples == 0);
      const BadSamples bad = loader.bad();
      CHECK(bad.count == 0);
      CHECK(bad.summary() == "none");
      CHECK(bad.damaged == 2);
      CHECK_THAT(bad.damage_summary(), Catch::StartsWith("2, the first: ") && Contains(kJpegWarning));
    }
  }
}

TEST_CASE("evaluation, statistics and preparation count them too") {
  const TemporaryFolder folder;
  write_damaged_pairs(folder);
  const auto dataset = open_dataset(folder / "in");
  const EvalData eval = load_eval_data(*dataset, EvaluationTransform(16), 2);
  CHECK(eval.count() == 10);
  CHECK(eval.bad.damaged == 2);
  CHECK_THAT(eval.bad.damage_summary(),
             Contains("3: ") && Contains(kJpegWarning));  // in order: the key comes first

  const DatasetStatistics statistics = dataset_statistics(*dataset, true, 1'000'000, 2);
  CHECK(statistics.bad.damaged == 2);
  CHECK_THAT(to_text(statistics), Contains("damaged pictures used            2") && Contains(kJpegWarning));
  CHECK(nlohmann::json::parse(to_json(statistics)).at("damaged_pictures_used").at("count") == 2);

  PrepareOptions options;
  options.from = {folder / "in"};
  options.out = folder / "out";
  options.held_out = 0;
  const PrepareReport report = prepare_dataset(options);
  CHECK(report.train.pictures == 10);
  CHECK(report.left_out.damaged == 2);
  CHECK_THAT(to_text(report), Contains("damaged pictures used: 2, the first: ") && Contains(kJpegWarning));
  CHECK(nlohmann::json::parse(read_file(folder / "out/statistics.json")).at("damaged_pictures_used") == 2);
}

TEST_CASE("accounts of damaged pictures add up, and keep the first") {
  BadSamples none, one, two;
  none.add_damaged("");
  CHECK(none.damage_summary() == "none");
  one.add_damaged("a");
  two.add_damaged("b");
  two.add_damaged("c");
  none.add(one);
  none.add(two);
  CHECK(none.damage_summary() == "3, the first: a");
  CHECK(none.count == 0);
}

}  // namespace
}  // namespace cuclip::test
