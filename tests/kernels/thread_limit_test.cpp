// labels: release_only
// The system may refuse a thread. (Sanitizers need the address space that this takes away.)
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "train/data/loader.h"

using namespace cuclip;

namespace {

// Room for some threads' stacks of 8 MB and no more.
class LittleAddressSpace {
 public:
  explicit LittleAddressSpace(rlim_t more) {
    ::getrlimit(RLIMIT_AS, &before_);
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit little{.rlim_cur = pages * 4096 + more, .rlim_max = before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_AS, &little) == 0);
  }
  ~LittleAddressSpace() { ::setrlimit(RLIMIT_AS, &before_); }

 private:
  rlimit before_;
};

int64_t threads_now() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

}  // namespace

TEST_CASE("threads that the system refuses are an error, and those before them end") {
  const auto dataset = open_dataset("synthetic:shapes?size=32&count=64");
  const LittleAddressSpace little(rlim_t{256} << 20);
  const std::string refused = "threads: the system refused the one after ";
  CHECK_THROWS_WITH(ThreadPool(500), Catch::Contains("cannot start 499 " + refused));
  CHECK(threads_now() == 1);
  CHECK_THROWS_WITH(Loader(*dataset, {.batch_size = 8, .workers = 500}),
                    Catch::Contains("cannot start 500 " + refused));
  CHECK(threads_now() == 1);
  ThreadPool(2).run(5, [](int64_t, int) {});  // and fewer still start
}
