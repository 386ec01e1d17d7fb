// labels: threads
// Threads that share one Clip and one Index get the bits that each gets alone.
#include <cuclip/cuclip.h>

#include <catch2/catch.hpp>
#include <thread>

#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

constexpr size_t kThreads = 4;

// What one thread asks for, and gets.
struct Work {
  std::vector<std::filesystem::path> files;
  std::vector<std::string> texts;
  std::string words;

  std::vector<float> run(const Clip& clip, const Index& index) const {
    std::vector<float> all;
    const auto add = [&](const Features& features) {
      all.insert(all.end(), features.values().begin(), features.values().end());
    };
    add(clip.encode_images(files));
    add(clip.encode_texts(texts));
    for (const SearchHit& hit : index.search(words, 3)) all.push_back(hit.similarity);
    for (const LabelProbability& label : clip.classify(files[0], texts))
      all.push_back(static_cast<float>(label.probability));
    return all;
  }
};

void check_threads(const ModelOnDisk& disk, const LoadOptions& options) {
  std::vector<Work> work;
  for (int i = 0; i < static_cast<int>(kThreads); ++i) {
    Work own{.files = {}, .texts = {"a", std::string(static_cast<size_t>(i + 1), 'b')}, .words = "c -d"};
    for (int k = 0; k <= i; ++k) own.files.push_back(disk.picture(i + k));  // batches of other sizes
    work.push_back(std::move(own));
  }
  std::vector<std::vector<float>> together(kThreads);
  {
    const Clip clip = Clip::load(disk.run, options);
    const Index index = Index::build(clip, disk.pictures);
    std::vector<std::thread> threads;
    for (size_t i = 0; i < kThreads; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < 3; ++round) together[i] = work[i].run(clip, index);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  const Clip clip = Clip::load(disk.run, options);  // one that no other thread has prepared anything for
  const Index index = Index::build(clip, disk.pictures);
  for (size_t i = 0; i < kThreads; ++i) CHECK(together[i] == work[i].run(clip, index));
}

TEST_CASE("threads share a vision transformer") {
  const ModelOnDisk disk;
  for (const char* precision : {"fp32", "bf16"})
    check_threads(disk, {.threads = 3, .precision = precision, .device = "cpu"});
}

TEST_CASE("threads share a ResNet, whose ordered weights the first to come make") {
  const ModelOnDisk disk(tiny_resnet_config());
  for (const char* precision : {"fp32", "bf16"})
    check_threads(disk, {.threads = 2, .precision = precision, .device = "cpu"});
}

TEST_CASE("threads share a batch-invariant model") {
  const ModelOnDisk disk(tiny_resnet_config());
  check_threads(disk, {.threads = 2, .device = "cpu", .batch_invariant = true});
}

TEST_CASE("threads load models and let them go while others use theirs") {
  const ModelOnDisk disk;
  const LoadOptions options = {.threads = 2, .device = "cpu"};
  const Clip shared = Clip::load(disk.run, options);
  const std::vector<std::string> texts = {"a", "b c"};
  const Features expected = shared.encode_texts(texts);
  std::vector<int> wrong(kThreads);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kThreads; ++i) {
    threads.emplace_back([&, i] {
      for (int round = 0; round < 3; ++round) {
        const Clip own = round % 2 == 0 ? Clip::load(disk.run, options) : shared;
        const Features found = own.encode_texts(texts);
        wrong[i] += !std::equal(found.values().begin(), found.values().end(), expected.values().begin());
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == std::vector<int>(kThreads));
}

}  // namespace
}  // namespace cuclip::test
