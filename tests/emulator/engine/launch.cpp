// Blocks on host threads. Each thread takes blocks in order of their index; a block that spins, or runs very
// long, makes way for others (waiting ones first resumed in turn), so that blocks may wait for each other.
#include "engine/launch.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <mutex>
#include <optional>
#include <thread>

namespace emu {
namespace {

constexpr u64 kSharedBytes = 256 << 10;
constexpr size_t kResident = 64;  // blocks in flight per host thread, unless cooperative
constexpr int kRounds = 4096;     // slices before a block makes way

// A block's storage, kept between blocks and launches.
struct Slot {
  Slot() {
    block.shared_storage.grow(kSharedBytes);
    block.shared = block.shared_storage.data();
  }
  Block block;
};

thread_local sigjmp_buf recovery;
thread_local volatile bool guarded = false;
thread_local void* volatile bad_address = nullptr;

void on_segv(int signal, siginfo_t* info, void*) {
  if (guarded) {
    bad_address = info->si_addr;
    siglongjmp(recovery, 1);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void install_handler() {
  static const bool once = [] {
    struct sigaction action = {};
    action.sa_sigaction = on_segv;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigaction(SIGSEGV, &action, nullptr);
    sigaction(SIGBUS, &action, nullptr);
    return true;
  }();
  (void)once;
}

// step_block, with accesses to unmapped host memory turned into a fault.
bool guarded_step(Block& block) {
  if (sigsetjmp(recovery, 0) != 0) {
    guarded = false;
    char text[96];
    std::snprintf(text, sizeof text, "access to an address that is not mapped, %p", bad_address);
    throw Fault(700, text + std::string(": kernel ") + std::string(block.launch->name));
  }
  guarded = true;
  const bool alive = step_block(block);
  guarded = false;
  return alive;
}

i64 now() { return std::chrono::steady_clock::now().time_since_epoch().count(); }

// What becomes of a launch, shared by the host threads that run its blocks.
class LaunchState {
 public:
  explicit LaunchState(const Launch& what) : launch(what) {}

  /// Stops the launch. Of several faults the first is kept.
  void note_fault(const Fault& fault) {
    stop = true;
    const std::lock_guard lock(fault_mutex_);
    if (!fault_) fault_ = fault;
  }
  /// Once no block runs any more.
  const std::optional<Fault>& fault() const { return fault_; }

  const Launch& launch;
  std::atomic<u32> next_block{0};
  std::atomic<bool> stop{false};
  std::atomic<u64> executed{0};
  std::atomic<i64> progress{now()};  // when a block last did more than wait; nanoseconds of the steady clock

 private:
  std::mutex fault_mutex_;
  std::optional<Fault> fault_;
};

// Launches that wait to run; the first one is running.
std::mutex queue_mutex;
std::vector<const Launch*> queue;

// "; these wait for it to end: kernel b on device 1"
std::string others_text() {
  const std::lock_guard lock(queue_mutex);
  std::string text;
  for (const Launch* launch : queue) {
    if (launch == queue.front()) continue;
    text += text.empty() ? "; these wait for it to end: kernel " : ", kernel ";
    text += std::string(launch->name) + " on device " + std::to_string(launch->device);
  }
  return text;
}

// Where a block is that does nothing but wait.
std::string waiting_place(Block& block) {
  for (const auto& warp : block.warps) {
    for (const Split& split : warp->splits) {
      if (split.state != Split::State::ready) continue;
      warp->frame = split.frame;
      return describe(*warp, *split.pc, std::countr_zero(split.mask));
    }
  }
  return "kernel " + std::string(block.launch->name);
}

class Worker {
 public:
  void run(LaunchState& state) {
    try {
      blocks(state);
    } catch (const Fault& fault) {
      guarded = false;
      state.note_fault(fault);
    } catch (const std::bad_alloc&) {
      guarded = false;
      state.note_fault(Fault(2, "out of host memory"));
    }
    for (auto& slot : running_) free_.push_back(std::move(slot));
    running_.clear();
  }

 private:
  bool start(LaunchState& state) {
    const Launch& launch = state.launch;
    u32 index = state.next_block.fetch_add(1);
    const u32 blocks = launch.blocks(), edge = launch.options->edge_blocks;
    if (edge != 0 && blocks / 2 > edge && index >= edge) index += blocks - 2 * edge;
    if (index >= blocks) return false;
    if (free_.empty()) free_.push_back(std::make_unique<Slot>());
    std::unique_ptr<Slot> slot = std::move(free_.back());
    free_.pop_back();
    start_block(slot->block, launch, index);
    slot->block.executed = 0;
    running_.push_back(std::move(slot));
    return true;
  }

  void blocks(LaunchState& state) {
    const Launch& launch = state.launch;
    const size_t resident = launch.cooperative ? launch.blocks() : kResident;
    bool more = true;
    while (!state.stop) {
      if (running_.empty() && !(more = more && start(state))) return;
      std::unique_ptr<Slot> slot = std::move(running_.front());
      running_.pop_front();
      Block& block = slot->block;
      bool alive = true;
      for (int round = 0; round < kRounds && alive && !state.stop; ++round) {
        alive = guarded_step(block);
        if (block.spinning && alive) break;
      }
      const u64 limit = launch.options->max_instructions;
      const u64 total = state.executed.fetch_add(block.executed) + block.executed;
      block.executed = 0;
      if (limit != 0 && total > limit) {
        throw Fault(702, "stopped after " + std::to_string(total) + " warp-instructions: kernel " +
                             std::string(launch.name));
      }
      check_progress(state, block, alive && block.spinning && !block.changed);
      if (!alive) {
        free_.push_back(std::move(slot));
        continue;
      }
      running_.push_back(std::move(slot));
      if (more && running_.size() < resident) {
        more = start(state);
        if (more) std::rotate(running_.begin(), running_.end() - 1, running_.end());
      }
    }
  }

  // A kernel cannot wait for one that is enqueued later, or on another device: launches run one after the
  // other.
  static void check_progress(LaunchState& state, Block& block, bool waits) {
    const Launch& launch = state.launch;
    const i64 time = now();
    if (!waits) {
      state.progress.store(time, std::memory_order_relaxed);
      return;
    }
    const double seconds = static_cast<double>(time - state.progress.load(std::memory_order_relaxed)) * 1e-9;
    const double patience = launch.options->patience;
    if (patience == 0 || seconds < patience) return;
    char text[64];
    std::snprintf(text, sizeof text, "deadlock: nothing but waiting for %g s on device %d: ", patience,
                  launch.device);
    throw Fault(702, text + waiting_place(block) + others_text());
  }

  std::deque<std::unique_ptr<Slot>> running_;
  std::vector<std::unique_ptr<Slot>> free_;
};

class Pool {
 public:
  explicit Pool(int threads) : workers_(static_cast<size_t>(threads)) {
    for (size_t i = 1; i < workers_.size(); ++i) threads_.emplace_back([this, i] { serve(i); });
  }
  ~Pool() {
    {
      const std::lock_guard lock(mutex_);
      quit_ = true;
    }
    wake_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }
  void run(LaunchState& state) {
    const bool alone = state.launch.blocks() == 1 || threads_.empty();
    if (!alone) {
      const std::lock_guard lock(mutex_);
      state_ = &state;
      busy_ = static_cast<int>(threads_.size());
      ++ticket_;
    }
    if (!alone) wake_.notify_all();
    workers_[0].run(state);
    if (alone) return;
    std::unique_lock lock(mutex_);
    done_.wait(lock, [this] { return busy_ == 0; });
  }

 private:
  void serve(size_t index) {
    u64 seen = 0;
    for (;;) {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return quit_ || ticket_ != seen; });
      if (quit_) return;
      seen = ticket_;
      LaunchState* state = state_;
      lock.unlock();
      workers_[index].run(*state);
      lock.lock();
      if (--busy_ == 0) done_.notify_one();
    }
  }

  std::mutex mutex_;
  std::condition_variable wake_, done_;
  std::vector<Worker> workers_;
  std::vector<std::thread> threads_;
  LaunchState* state_ = nullptr;
  int busy_ = 0;
  u64 ticket_ = 0;
  bool quit_ = false;
};

}  // namespace

std::optional<Fault> run_launch(const Launch& launch) {
  static std::mutex one_at_a_time;
  {
    const std::lock_guard lock(queue_mutex);
    queue.push_back(&launch);
  }
  const std::lock_guard lock(one_at_a_time);
  {
    const std::lock_guard first(queue_mutex);
    std::rotate(queue.begin(), std::find(queue.begin(), queue.end(), &launch), queue.end());
  }
  install_handler();
  static Pool pool(launch.options->threads);
  LaunchState state(launch);
  pool.run(state);
  const std::lock_guard last(queue_mutex);
  queue.erase(queue.begin());
  return state.fault();
}

}  // namespace emu
