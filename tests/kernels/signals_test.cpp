// labels: threads
#include "kernels/common/signals.h"

#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <mutex>
#include <stdexcept>
#include <vector>

#include "kernels/common/exec_context.h"
#include "kernels/tiles/tile_product.h"
#include "tests/support/buffer.h"

using namespace cuclip;
using test::Buffer;

namespace {

// Bit n - 1 is signal n, as the kernel has it: the C library hides its own two.
uint64_t blocked_signals() {
  uint64_t mask = 0;
  ::syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof(mask));
  return mask;
}

uint64_t bits(std::initializer_list<int> signals) {
  uint64_t mask = 0;
  for (const int signal : signals) mask |= uint64_t{1} << (signal - 1);
  return mask;
}

// What can be blocked, without what a thread does to itself; and without the C library's own two.
const uint64_t kHeld = ~bits({SIGKILL, SIGSTOP, SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS});
const uint64_t kOfThreads = kHeld & ~bits({32, 33});

// A program that has one signal blocked, so that putting back is more than clearing.
struct UsualMask {
  UsualMask() {
    sigset_t mask;
    ::sigemptyset(&mask);
    ::sigaddset(&mask, SIGUSR2);
    ::pthread_sigmask(SIG_SETMASK, &mask, &before);
  }
  ~UsualMask() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
  sigset_t before;
  const uint64_t mask = bits({SIGUSR2});
};

struct SmallProduct {
  Buffer a = Buffer::normal({8, 8}, DType::f32), b = Buffer::normal({8, 8}, DType::f32);
  Buffer c = Buffer::zeros({8, 8}, DType::f32);
  void operator()() const {
    tile_product({.a = a.view().data,
                  .b = b.view().data,
                  .c = c.view().data,
                  .m = 8,
                  .n = 8,
                  .k = 8,
                  .lda = 8,
                  .ldb = 8,
                  .ldc = 8});
  }
};

std::atomic<int> g_handled{0};

}  // namespace

TEST_CASE("a product holds signals back until the scope that it is part of ends") {
  const UsualMask usual;
  const SmallProduct product;
  product();
  CHECK(blocked_signals() == usual.mask);
  {
    const SignalScope outer;
    CHECK(blocked_signals() == usual.mask);  // a scope without a product changes nothing
    {
      const SignalScope inner;
      product();
      CHECK(blocked_signals() == kHeld);
    }
    CHECK(blocked_signals() == kHeld);
  }
  CHECK(blocked_signals() == usual.mask);
}

TEST_CASE("a parallel region holds signals back from its first product to its end") {
  const UsualMask usual;
  const std::thread::id caller = std::this_thread::get_id();
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    const ExecContext ctx{.pool = &pool};
    const std::vector<SmallProduct> products(threads);  // one for each thread
    for (const int64_t tasks : {1, 20}) {
      CAPTURE(threads, tasks);
      std::atomic<int> wrong{0};
      parallel_for(ctx, tasks, [&](int64_t, int thread) {
        // What no product needs stays as it is: a long region that decodes pictures does not keep a program's
        // handlers waiting.
        const uint64_t before = blocked_signals();
        const uint64_t unheld = std::this_thread::get_id() == caller ? usual.mask : kOfThreads;
        wrong += before != unheld && before != kHeld;  // an earlier task of this region had a product
        products[thread]();
        wrong += blocked_signals() != kHeld;
      });
      CHECK(wrong == 0);
      CHECK(blocked_signals() == usual.mask);
      std::atomic<int> held{0};
      parallel_for(ctx, tasks, [&](int64_t, int) {
        held += blocked_signals() != (std::this_thread::get_id() == caller ? usual.mask : kOfThreads);
      });
      CHECK(held == 0);
    }
  }
}

TEST_CASE("the signal mask is put back when a task throws") {
  const UsualMask usual;
  ThreadPool pool(2);
  const ExecContext ctx{.pool = &pool};
  const std::vector<SmallProduct> products(2);
  for (const int64_t tasks : {1, 6}) {
    REQUIRE_THROWS_WITH(parallel_for(ctx, tasks,
                                     [&](int64_t, int thread) {
                                       products[thread]();
                                       throw std::runtime_error("task");
                                     }),
                        "task");
    CHECK(blocked_signals() == usual.mask);
  }
  TileProduct bad{.m = 2, .n = 2, .k = 2, .lda = -1, .ldb = 2, .ldc = 2};
  REQUIRE_THROWS_AS(tile_product(bad), Error);
  CHECK(blocked_signals() == usual.mask);
}

TEST_CASE("a signal that comes during a region is handled after it") {
  struct sigaction action {
  }, before{};
  action.sa_handler = [](int) { ++g_handled; };
  ::sigaction(SIGUSR1, &action, &before);
  ThreadPool pool(2);
  g_handled = 0;
  const ::pthread_t caller = ::pthread_self();
  {
    const SignalScope scope;
    SmallProduct()();
    pool.run(8, [&](int64_t, int) { ::pthread_kill(caller, SIGUSR1); });
    CHECK(g_handled == 0);
  }
  CHECK(g_handled == 1);  // they are not counted while they wait
  ::sigaction(SIGUSR1, &before, nullptr);
}

TEST_CASE("threads that are started take no signals, but do not keep setuid waiting") {
  const UsualMask usual;
  std::mutex mutex;
  std::vector<uint64_t> masks;
  std::vector<std::thread> threads;
  std::atomic<bool> stop{false};
  start_threads(threads, 3, [&](int) {
    {
      const std::lock_guard lock(mutex);
      masks.push_back(blocked_signals());
    }
    while (!stop) std::this_thread::yield();
  });
  CHECK(blocked_signals() == usual.mask);
  // It interrupts every thread and returns when each has answered.
  CHECK(::setresuid(static_cast<uid_t>(-1), static_cast<uid_t>(-1), static_cast<uid_t>(-1)) == 0);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(masks == std::vector<uint64_t>(3, kOfThreads));
}
