// labels: release_only
// A loader that the system has no memory for.
#include <catch2/catch.hpp>
#include <string>

#include "train/data/loader.h"

using namespace cuclip;

namespace {

class Pictures final : public Dataset {
 public:
  int64_t size() const override { return 40; }
  std::string key(int64_t index) const override { return std::to_string(index); }
  int64_t picture_bytes(int64_t) const override { return 16 * 16 * 3; }
  std::string describe() const override { return "grey"; }
  Sample load(int64_t index) const override {
    return {.key = key(index),
            .picture = Image{.width = 16, .height = 16, .rgb = std::vector<uint8_t>(16 * 16 * 3, 128)},
            .captions = {key(index)}};
  }
};

LoaderOptions options(int workers) {
  LoaderOptions o;
  o.batch_size = 10;
  o.image_size = 16;
  o.workers = workers;
  return o;
}

}  // namespace

TEST_CASE("a batch that memory has no room for is an exception of next()") {
  const Pictures pictures;
  for (const int workers : {0, 1, 4}) {
    INFO(workers);
    LoaderOptions o = options(workers);
    o.image_size = 10'000'000;  // 3 PB each
    Loader loader(pictures, o);
    CHECK_THROWS_WITH(loader.next(), Catch::Contains("out of memory on device cpu"));
  }
}
