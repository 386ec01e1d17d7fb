// labels: threads Pictures that are used although their data are damaged: counted once each, and one named,
// wherever they come in.
#include <catch2/catch.hpp>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "tests/support/generated_picture.h"
#include "tests/support/model_on_disk.h"
#include "tests/train/data_fixtures.h"
#include "train/data/dataset_stats.h"
#include "train/data/loader.h"
#include "train/data/prepare.h"
#include "train/data/prepared_picture.h"
#include "train/encode.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

const std::string kWarning = "Corrupt JPEG data: premature end of data segment";

std::string jpeg(uint32_t seed) { return encode_jpeg(generated_picture(40, 30, 0, seed)); }

std::string damaged_jpeg(uint32_t seed) {
  const std::string whole = jpeg(seed);
  return whole.substr(0, whole.size() - 60) + "\xFF\xD9";
}

// A folder of 10 pairs, of which 2 are damaged.
void write_pairs(const TemporaryFolder& folder) {
  const char* words[] = {"red", "green", "blue", "grey", "pink", "black", "white", "brown", "gold", "teal"};
  for (uint32_t i = 0; i < 10; ++i) {
    const std::string name = fmt::format("in/{}", i);
    folder.write(name + ".jpg", i % 5 == 3 ? damaged_jpeg(i) : jpeg(i));
    folder.write(name + ".txt", fmt::format("a {} picture", words[i]));
  }
}

TEST_CASE("the loader uses damaged pictures, and counts each once over all epochs, kept in memory or not") {
  const TemporaryFolder folder;
  write_pairs(folder);
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
      CHECK_THAT(bad.damage_summary(), Catch::StartsWith("2, the first: ") && Contains(kWarning));
    }
  }
}

TEST_CASE("evaluation, statistics and preparation count them too") {
  const TemporaryFolder folder;
  write_pairs(folder);
  const auto dataset = open_dataset(folder / "in");
  const EvalData eval = load_eval_data(*dataset, EvaluationTransform(16), 2);
  CHECK(eval.count() == 10);
  CHECK(eval.bad.damaged == 2);
  CHECK_THAT(eval.bad.damage_summary(),
             Contains("3: ") && Contains(kWarning));  // in order: the key comes first

  const DatasetStatistics statistics = dataset_statistics(*dataset, true, 1'000'000, 2);
  CHECK(statistics.bad.damaged == 2);
  CHECK_THAT(to_text(statistics), Contains("damaged pictures used            2") && Contains(kWarning));
  CHECK(nlohmann::json::parse(to_json(statistics)).at("damaged_pictures_used").at("count") == 2);

  PrepareOptions options;
  options.from = {folder / "in"};
  options.out = folder / "out";
  options.held_out = 0;
  const PrepareReport report = prepare_dataset(options);
  CHECK(report.train.pictures == 10);
  CHECK(report.left_out.damaged == 2);
  CHECK_THAT(to_text(report), Contains("damaged pictures used: 2, the first: ") && Contains(kWarning));
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

TEST_CASE_METHOD(ModelOnDisk, "commands use a damaged picture, and say so on standard error") {
  const std::string file = folder.write("damaged/cut.jpg", damaged_jpeg(1));
  folder.write("damaged/cut.txt", "a picture");
  const std::string said = "cuclip: damaged pictures used: 1, the first: ";
  const std::vector<std::vector<std::string>> commands = {
      {"classify", file, "--labels", "a,b"},
      {"matrix", "--images", file, "--texts", "a"},
      {"encode", "image", file, "--out", folder / "a.npy"},
      {"index", folder / "damaged", "--out", folder / "a.cuclip-index"},
      {"eval", "retrieval", "--data", folder / "damaged"},
  };
  for (const auto& command : commands) {
    const CommandResult result = cuclip(command);
    INFO(command[0] << ": " << result.err);
    CHECK(result.exit_code == 0);
    CHECK_THAT(result.err, Contains(said) && Contains("cut") && Contains(kWarning));
  }
  CHECK(cuclip_json({"encode", "image", file, "--out", folder / "a.npy"}).at("damaged_pictures_used") == 1);
  const CommandResult whole = cuclip({"classify", picture(0), "--labels", "a,b"});
  CHECK(whole.exit_code == 0);
  CHECK_THAT(whole.err, !Contains("damaged"));
  const CommandResult search = cuclip({"search", folder / "a.cuclip-index", "--image", file});
  INFO(search.err);
  CHECK(search.exit_code == 0);
  CHECK_THAT(search.err, Contains(said));
}

TEST_CASE("training says at its end how many damaged pictures it used") {
  const TemporaryFolder folder;
  write_pairs(folder);
  const CommandResult result =
      run_cuclip({"train", "--model", "cuclip-tiny", "--train-data", folder / "in", "--out", folder / "run",
                  "--batch-size", "5", "--epochs", "2", "--workers", "1"});
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("damaged pictures used: 2, the first: ") && Contains(kWarning));
  CHECK_THAT(result.err, !Contains("could not be used"));
}

}  // namespace
}  // namespace cuclip::test
