// labels: release_only
// The system may refuse a thread. (Sanitizers need the address space that this takes away.)
#include <pthread.h>
#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <thread>

#include "kernels/common/check.h"
#include "kernels/common/parallel.h"
#include "train/data/loader.h"

using namespace cuclip;

namespace {

// Room for some threads' stacks and no more. New threads' stacks are of 8 MB, whatever the shell's limit is.
class LittleAddressSpace {
 public:
  explicit LittleAddressSpace(rlim_t more) {
    REQUIRE(::pthread_getattr_default_np(&stacks_before_) == 0);
    pthread_attr_t stacks = stacks_before_;
    REQUIRE(::pthread_attr_setstacksize(&stacks, size_t{8} << 20) == 0);
    REQUIRE(::pthread_setattr_default_np(&stacks) == 0);
    ::getrlimit(RLIMIT_AS, &before_);
    rlim_t pages = 0;
    std::ifstream("/proc/self/statm") >> pages;
    const rlimit little{.rlim_cur = pages * 4096 + more, .rlim_max = before_.rlim_max};
    REQUIRE(::setrlimit(RLIMIT_AS, &little) == 0);
  }
  ~LittleAddressSpace() {
    ::setrlimit(RLIMIT_AS, &before_);
    ::pthread_setattr_default_np(&stacks_before_);
  }

 private:
  rlimit before_;
  pthread_attr_t stacks_before_;
};

int64_t threads_now() {
  const std::filesystem::directory_iterator tasks("/proc/self/task");
  return std::distance(begin(tasks), end(tasks));
}

// The system may list a thread for a moment after it was joined.
bool alone_within_a_second() {
  for (int i = 0; i < 1000 && threads_now() > 1; ++i)
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  return threads_now() == 1;
}

}  // namespace

TEST_CASE("threads that the system refuses are an error, and those before them end") {
  const auto dataset = open_dataset("synthetic:shapes?size=32&count=64");
  const LittleAddressSpace little(rlim_t{256} << 20);
  const std::string refused = "threads: the system allowed only ";
  CHECK_THROWS_WITH(ThreadPool(500), Catch::Contains("cannot start 499 " + refused));
  CHECK(alone_within_a_second());
  CHECK_THROWS_WITH(Loader(*dataset, {.batch_size = 8, .workers = 500}),
                    Catch::Contains("cannot start 500 " + refused));
  CHECK(alone_within_a_second());
  // and fewer still start
  ThreadPool(2).run(5, [](int64_t, int) {});
  Loader loader(*dataset, {.batch_size = 8, .image_size = 32, .workers = 2});
  CHECK(loader.next().captions.size() == 8);
}
