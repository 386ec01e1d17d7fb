// labels: threads
// Parts of batches, as ranks that share them have.
#include <catch2/catch.hpp>
#include <memory>
#include <vector>

#include "train/data/loader.h"
#include "train/data/synthetic.h"

using namespace cuclip;

namespace {

template <typename T>
std::vector<T> values(const Tensor& tensor) {
  return {tensor.data<T>(), tensor.data<T>() + tensor.elements()};
}

}  // namespace

TEST_CASE("parts of batches are what the whole batches have in their places") {
  const auto dataset = open_dataset("synthetic:shapes?size=32&count=77");
  LoaderOptions o{.batch_size = 24, .image_size = 16, .workers = 0, .flip_probability = 0.5};
  o.caption_augment = 0.5;
  Loader whole(*dataset, o);
  for (const int workers : {0, 2}) {
    std::vector<std::unique_ptr<Loader>> parts;
    o.workers = workers;
    for (const int64_t first : {0, 6, 20}) {
      o.first_place = first;
      o.places = first == 0 ? 6 : first == 6 ? 14 : 0;  // 0: up to the end
      parts.push_back(std::make_unique<Loader>(*dataset, o));
    }
    whole.restore({});
    for (int i = 0; i < 7; ++i) {
      const Batch batch = whole.next();
      std::vector<std::string> captions;
      std::vector<uint8_t> pixels;
      std::vector<int32_t> words;
      int64_t bad = 0;
      for (const auto& part : parts) {
        const Batch its = part->next();
        REQUIRE(its.index == batch.index);
        captions.insert(captions.end(), its.captions.begin(), its.captions.end());
        const auto its_pixels = values<uint8_t>(its.images);
        pixels.insert(pixels.end(), its_pixels.begin(), its_pixels.end());
        const auto its_words = values<int32_t>(its.words);
        words.insert(words.end(), its_words.begin(), its_words.end());
        bad += its.bad_samples;
      }
      CHECK(captions == batch.captions);
      CHECK(pixels == values<uint8_t>(batch.images));
      CHECK(words == values<int32_t>(batch.words));
      CHECK(bad == batch.bad_samples);
    }
  }
  o.first_place = 20;
  o.places = 5;
  CHECK_THROWS_WITH(Loader(*dataset, o), "loader: a batch of 24 has no places 20 to 24");
}
