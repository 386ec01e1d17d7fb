#include "tests/support/thread_ranks.h"

#include <condition_variable>
#include <cstring>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "core/together.h"
#include "kernels/common/check.h"

namespace cuclip::test {
namespace {

using Bytes = std::vector<char>;

// What was sent and not received yet, by sender and receiver.
class Mail {
 public:
  explicit Mail(int size)
      : size_(size), boxes_(static_cast<size_t>(size * size)), ended_(static_cast<size_t>(size), false) {}

  void put(int from, int to, Bytes bytes) {
    const std::lock_guard lock(mutex_);
    box(from, to).push_back(std::move(bytes));
    changed_.notify_all();
  }
  Bytes take(int from, int to) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return !box(from, to).empty() || ended_[static_cast<size_t>(from)]; });
    if (box(from, to).empty()) throw OtherRankFailed(from, false);
    Bytes bytes = std::move(box(from, to).front());
    box(from, to).pop_front();
    return bytes;
  }
  // A rank that has ended sends nothing more. What one failed by itself says more than that others had
  // failed.
  void end(int rank, std::exception_ptr failure, bool by_itself) {
    const std::lock_guard lock(mutex_);
    ended_[static_cast<size_t>(rank)] = true;
    if (failure && (!failed_ || (by_itself && !failed_by_itself_))) {
      failed_ = std::move(failure);
      failed_by_itself_ = by_itself;
    }
    changed_.notify_all();
  }
  std::exception_ptr failed() const { return failed_; }

 private:
  std::deque<Bytes>& box(int from, int to) { return boxes_[static_cast<size_t>(from * size_ + to)]; }
  int size_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::deque<Bytes>> boxes_;
  std::vector<bool> ended_;
  std::exception_ptr failed_;
  bool failed_by_itself_ = false;
};

size_t bytes_of(const TensorView& view) { return static_cast<size_t>(view.elements()) * size_of(view.dtype); }

class ThreadExchange : public Exchange {
 public:
  ThreadExchange(Mail& mail, int rank, std::span<const Message> receives)
      : mail_(mail), rank_(rank), receives_(receives.begin(), receives.end()) {}

  void wait() override {
    for (const Message& receive : receives_) {
      const Bytes bytes = mail_.take(receive.rank, rank_);
      if (bytes.size() != bytes_of(receive.view)) {
        fail("rank {} receives {} bytes of rank {}, which sent {}", rank_, bytes_of(receive.view),
             receive.rank, bytes.size());
      }
      if (!bytes.empty()) std::memcpy(receive.view.data, bytes.data(), bytes.size());
    }
  }

 private:
  Mail& mail_;
  int rank_;
  std::vector<Message> receives_;
};

class ThreadCommunicator : public Communicator {
 public:
  ThreadCommunicator(Mail& mail, int rank, int size) : Communicator(rank, size), mail_(mail) {}

 private:
  std::unique_ptr<Exchange> begin(std::span<const Message> sends,
                                  std::span<const Message> receives) override {
    for (const Message& send : sends) {
      const char* data = static_cast<const char*>(send.view.data);
      mail_.put(rank(), send.rank, Bytes(data, data + bytes_of(send.view)));
    }
    return std::make_unique<ThreadExchange>(mail_, rank(), receives);
  }
  Mail& mail_;
};

}  // namespace

void run_ranks(int size, const std::function<void(Communicator&)>& rank) {
  Mail mail(size);
  std::vector<std::thread> threads;
  for (int r = 0; r < size; ++r) {
    threads.emplace_back([&, r] {
      try {
        ThreadCommunicator communicator(mail, r, size);
        rank(communicator);
        mail.end(r, nullptr, false);
      } catch (const OtherRankFailed&) {
        mail.end(r, std::current_exception(), false);
      } catch (...) {
        mail.end(r, std::current_exception(), true);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  if (mail.failed()) std::rethrow_exception(mail.failed());
}

}  // namespace cuclip::test
