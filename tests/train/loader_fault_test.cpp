// labels: threads
// A thread of the loader that meets what it does not expect.
#include <catch2/catch.hpp>
#include <new>
#include <stdexcept>

#include "train/data/loader.h"

namespace cuclip {
namespace {

using Catch::Contains;

enum class Accident { none, runtime_error, out_of_memory, no_exception_class };

// One-colour pictures; loading sample 17 ends in the accident.
class Accidental final : public Dataset {
 public:
  explicit Accidental(Accident accident) : accident_(accident) {}
  int64_t size() const override { return 40; }
  Sample load(int64_t index) const override {
    if (index == 17 && accident_ == Accident::runtime_error) throw std::runtime_error("the decoder broke");
    if (index == 17 && accident_ == Accident::out_of_memory) throw std::bad_alloc();
    if (index == 17 && accident_ == Accident::no_exception_class) throw 17;
    Image image{
        .width = 16, .height = 16, .rgb = std::vector<uint8_t>(16 * 16 * 3, static_cast<uint8_t>(index))};
    return {.key = std::to_string(index), .picture = std::move(image), .captions = {std::to_string(index)}};
  }
  std::string describe() const override { return "accidental"; }
  std::string key(int64_t index) const override { return std::to_string(index); }
  int64_t picture_bytes(int64_t) const override { return 16 * 16 * 3; }

 private:
  Accident accident_;
};

LoaderOptions options(int workers) {
  LoaderOptions o;
  o.batch_size = 10;
  o.image_size = 16;
  o.workers = workers;
  return o;
}

void read_an_epoch(Loader& loader) {
  for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) loader.next();
}

TEST_CASE(
    "an exception in a decoding thread reaches the caller as it is, again and again, and the threads end") {
  const int workers = GENERATE(0, 1, 3);
  INFO(workers << " workers");
  const Accidental breaks(Accident::runtime_error), full(Accident::out_of_memory),
      odd(Accident::no_exception_class);
  Loader loader(breaks, options(workers));
  CHECK_THROWS_WITH(read_an_epoch(loader), "the decoder broke");
  CHECK_THROWS_WITH(read_an_epoch(loader),
                    "the decoder broke");    // it does not wait for a thread that has gone
  loader.restore({.epoch = 0, .batch = 0});  // the threads start anew
  CHECK_THROWS_WITH(read_an_epoch(loader), "the decoder broke");
  CHECK(loader.bad().count == 0);  // no sample is to blame

  Loader without_memory(full, options(workers));
  CHECK_THROWS_AS(read_an_epoch(without_memory), std::bad_alloc);
  Loader strange(odd, options(workers));
  CHECK_THROWS_AS(read_an_epoch(strange), int);
  const Accidental fine(Accident::none);
  Loader good(fine, options(workers));
  CHECK_NOTHROW(read_an_epoch(good));
}

TEST_CASE("a loader whose thread failed is destroyed without being asked for its batches") {
  const Accidental breaks(Accident::runtime_error);
  for (int i = 0; i < 20; ++i) {
    const Loader loader(breaks, options(2));
    CHECK(loader.batches_per_epoch() == 4);
  }
}

}  // namespace
}  // namespace cuclip
