// labels: release_only
// A loader that the system has no memory or threads for.
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <fstream>
#include <new>
#include <string>

#include "train/data/loader.h"

using namespace cuclip;
using Catch::Matchers::Contains;

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

TEST_CASE("a batch that memory has no room for is an exception of next()") {
  const Pictures pictures;
  for (const int workers : {0, 1, 4}) {
    INFO(workers);
    LoaderOptions o = options(workers);
    o.image_size = 10'000'000;  // 3 PB each
    Loader loader(pictures, o);
    CHECK_THROWS_AS(loader.next(), std::bad_alloc);
  }
}

TEST_CASE("threads that the system does not start are an error with both numbers") {
  const Pictures pictures;
  {
    const MemoryLimit limit(int64_t{80} << 20);  // room for a few stacks of 8 MB
    CHECK_THROWS_WITH(Loader(pictures, options(64)),
                      Contains("cannot start 64 threads") && Contains("use fewer"));
  }
  Loader loader(pictures, options(2));
  CHECK(loader.next().captions.size() == 10);
}
