// labels: release_only
// What goes wrong in the loader's threads is an exception of the call that waits for them, whatever it is: one
// that leaves a thread would end the process.
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <new>
#include <string>

#include "train/data/loader.h"

using namespace cuclip;
using Catch::Matchers::Contains;

namespace {

enum class Failure { none, memory, number, input };

// Grey pictures; what is wrong comes with the sample that is read last, if it is to.
class Pictures final : public Dataset {
 public:
  explicit Pictures(Failure failure) : failure_(failure) {}
  int64_t size() const override { return 40; }
  std::string key(int64_t index) const override { return std::to_string(index); }
  int64_t picture_bytes(int64_t) const override { return 16 * 16 * 3; }
  std::string describe() const override { return "grey"; }
  Sample load(int64_t index) const override {
    if (index == 17 && failure_ == Failure::memory) throw std::bad_alloc();
    if (index == 17 && failure_ == Failure::number) throw 17;
    if (index == 17 && failure_ == Failure::input) throw InputError("cannot read: input/output error");
    return {.key = key(index),
            .picture = Image{.width = 16, .height = 16, .rgb = std::vector<uint8_t>(16 * 16 * 3, 128)},
            .captions = {key(index)}};
  }

 private:
  Failure failure_;
};

LoaderOptions options(int workers) {
  LoaderOptions o;
  o.batch_size = 10;
  o.image_size = 16;
  o.workers = workers;
  return o;
}

void read_an_epoch(Loader& loader) {
  for (int i = 0; i < 4; ++i) loader.next();
}

int64_t address_space() {
  int64_t pages = 0;
  std::ifstream("/proc/self/statm") >> pages;
  return pages * 4096;
}

// A limit on the process' memory while it lives.
class MemoryLimit {
 public:
  explicit MemoryLimit(int64_t more) {
    REQUIRE(::getrlimit(RLIMIT_AS, &before_) == 0);
    rlimit now = before_;
    now.rlim_cur = static_cast<rlim_t>(address_space() + more);
    REQUIRE(::setrlimit(RLIMIT_AS, &now) == 0);
  }
  ~MemoryLimit() { ::setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_{};
};

}  // namespace

TEST_CASE("what a sample throws comes out of next(), again and again, on any number of threads") {
  for (const int workers : {0, 1, 4}) {
    INFO(workers);
    const Pictures memory(Failure::memory), number(Failure::number), input(Failure::input);
    Loader out_of_memory(memory, options(workers)), strange(number, options(workers)),
        unreadable(input, options(workers));
    CHECK_THROWS_AS(read_an_epoch(out_of_memory), std::bad_alloc);
    CHECK_THROWS_AS(read_an_epoch(out_of_memory), std::bad_alloc);
    CHECK_THROWS_AS(read_an_epoch(strange), int);
    CHECK_THROWS_WITH(read_an_epoch(unreadable), Contains("input/output error"));
  }
}

TEST_CASE("a batch that memory has no room for is an exception of next() too") {
  const Pictures pictures(Failure::none);
  for (const int workers : {0, 1, 4}) {
    INFO(workers);
    LoaderOptions o = options(workers);
    o.image_size = 10'000'000;  // 3 PB each
    Loader loader(pictures, o);
    CHECK_THROWS_AS(loader.next(), std::bad_alloc);
  }
}

TEST_CASE("threads that the system does not start are an error with both numbers") {
  const Pictures pictures(Failure::none);
  {
    const MemoryLimit limit(int64_t{80} << 20);  // room for a few stacks of 8 MB
    CHECK_THROWS_WITH(Loader(pictures, options(64)), Contains("of 64 threads") && Contains("--workers"));
  }
  Loader loader(pictures, options(2));
  CHECK_NOTHROW(read_an_epoch(loader));
}
