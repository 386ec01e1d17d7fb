// labels: release_only
// A call that finds no memory takes what other calls have left cached. (Sanitizers need all addresses.)
#include <cuclip/cuclip.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <fstream>

#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

// Room for so many more bytes.
class LittleMemory {
 public:
  explicit LittleMemory(size_t more) {
    size_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    ::getrlimit(RLIMIT_AS, &before_);
    const rlimit little{.rlim_cur = pages * 4096 + more, .rlim_max = before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_AS, &little) == 0);
  }
  ~LittleMemory() { ::setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_;
};

Features unit_rows(size_t count) {
  std::vector<float> values(count * 10);
  for (size_t i = 0; i < count; ++i) values[i * 10] = 1;
  return Features(std::move(values), 10);
}

TEST_CASE_METHOD(ModelOnDisk, "memory that idle workers have cached is released when there is no more") {
  constexpr size_t kMiB = size_t{1} << 20;
  const Clip clip = Clip::load(run, {.threads = 1, .device = "cpu"});
  const Features some = unit_rows(4096), more = unit_rows(8192);
  // Two calls at a time have a worker each: this one's has cached 128 MiB when it is done.
  const auto nested = [&](size_t, size_t) { return clip.similarity(more, some).size() == 8192 * 4096; };
  const Index index = Index::build(clip, pictures, {.progress = nested});
  CHECK(index.missing() == 0);
  // The other worker, which is the next to be used, needs 64 MiB and as many for the answer.
  std::vector<float> answer;
  {
    const LittleMemory limit(40 * kMiB);
    CHECK_NOTHROW(answer = clip.similarity(some, some));
  }
  CHECK(answer.size() == 4096 * 4096);
}

}  // namespace
}  // namespace cuclip::test
