// cuclip/cuclip.h on CUDA: features and answers are the CPU's, to roundings, and threads may share a model.
#include <cuclip/cuclip.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <map>
#include <thread>

#include "tests/support/kernel_test.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

void check_close(const Features& a, const Features& b) {
  REQUIRE(a.values().size() == b.values().size());
  for (size_t i = 0; i < a.values().size(); ++i) CHECK(a.values()[i] == Approx(b.values()[i]).margin(1e-5));
}

TEST_CASE_METHOD(ModelOnDisk,
                 "a model on CUDA encodes and finds what it does on the CPU, on threads of their own") {
  CUCLIP_NEEDS_CUDA();
  std::vector<std::string> log;
  LoadOptions options{.threads = 1, .device = "cuda"};
  options.log = [&](std::string_view line) { log.emplace_back(line); };
  const Clip here = Clip::load(run, {.threads = 1, .device = "cpu"}), there = Clip::load(run, options);
  REQUIRE(log.size() == 1);
  CHECK_THAT(log[0], Catch::Contains("running on"));
  const std::vector<std::filesystem::path> files = {picture(0), picture(4)};
  const std::vector<std::string> texts = {"a", "b c"};
  const Index index = Index::build(there, pictures);
  std::vector<Features> of_files(2), of_texts(2);
  std::vector<std::string> found(2);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < 2; ++i) {
    threads.emplace_back([&, i] {
      of_files[i] = there.encode_images(files);
      of_texts[i] = there.encode_texts(texts);
      found[i] = index.search(of_files[i].row(1), 1).front().name;
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < 2; ++i) {
    check_close(of_files[i], here.encode_images(files));
    check_close(of_texts[i], here.encode_texts(texts));
    CHECK(found[i] == picture(4));
  }
  // Which label is first may be as good as tied.
  std::map<std::string, double> probability;
  for (const LabelProbability& label : here.classify(picture(1), texts))
    probability[label.label] = label.probability;
  for (const LabelProbability& label : there.classify(picture(1), texts))
    CHECK(label.probability == Approx(probability.at(label.label)).margin(1e-3));
  // Its index is one for both devices, and updates from itself.
  index.save(folder / "p.cuclip-index");
  CHECK(Index::load(here, folder / "p.cuclip-index").search("a", 1).front().similarity ==
        Approx(index.search("a", 1).front().similarity).margin(1e-5));
  CHECK(Index::build(there, pictures, {.earlier = &index}).size() == 8);
}

}  // namespace
}  // namespace cuclip::test
