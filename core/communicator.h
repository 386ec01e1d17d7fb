// Processes that compute together, the ranks of a run, and how tensors get from one to the others.
//
// A backend only has to carry messages; what is built of them is written once, below, so that the order of
// every sum is ours and not a library's: the same bits for any number of ranks (docs/distributed.md).
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/common/tensor_view.h"

namespace cuclip {

/// A contiguous tensor for another rank, or from it.
struct Message {
  int rank = 0;
  TensorView view;
};

/// Messages that are under way. Where one is given up before its wait, the memory may still be written: then
/// nothing may be exchanged any more, and the process has to end.
class Exchange {
 public:
  virtual ~Exchange() = default;
  /// Returns when all of them have been received and what was sent may be written again. To be called once,
  /// and in the order in which the exchanges began.
  /// Throws Error where a rank or the connection to it is lost.
  virtual void wait() = 0;
};

/// One per process. Calls come from one thread at a time. Every rank makes the same calls in the same order.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }

  /// Begins to send and to receive. Between two ranks messages arrive in the order in which they were sent;
  /// what one sends has as many bytes as what the other receives. Until the wait, what is sent may only be
  /// read, and what is received not be touched. Messages to oneself are copied. Throws InputError for a rank
  /// that does not exist or a view that is not contiguous.
  [[nodiscard]] std::unique_ptr<Exchange> exchange(std::span<const Message> sends,
                                                   std::span<const Message> receives);

  /// all [size(), ...]: row r is rank r's `own` [...], which may be the row itself.
  void all_gather(const TensorView& own, const TensorView& all);
  /// Every rank's x becomes what rank `root` has.
  void broadcast(const TensorView& x, int root);
  /// Returns when every rank has called it.
  void barrier();

  /// Bytes sent to other ranks so far.
  int64_t bytes_sent() const { return bytes_sent_; }

 protected:
  Communicator(int rank, int size) : rank_(rank), size_(size) {}

 private:
  /// As exchange(), which has checked the messages and kept those to oneself.
  virtual std::unique_ptr<Exchange> begin(std::span<const Message> sends,
                                          std::span<const Message> receives) = 0;

  int rank_;
  int size_;
  int64_t bytes_sent_ = 0;
};

/// A process that computes alone.
class SingleCommunicator : public Communicator {
 public:
  SingleCommunicator() : Communicator(0, 1) {}

 private:
  std::unique_ptr<Exchange> begin(std::span<const Message> sends, std::span<const Message> receives) override;
};

}  // namespace cuclip
