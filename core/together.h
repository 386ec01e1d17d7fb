// What all ranks of a run do as one: all succeed, or all throw.
#pragma once

#include <functional>
#include <string>

#include "core/communicator.h"
#include "kernels/common/error.h"

namespace cuclip {

/// Thrown on the ranks that have not failed themselves, or that failed like a rank before them: that one says
/// why, and nobody else has to.
class OtherRankFailed : public Error {
 public:
  OtherRankFailed(int rank, bool input);
  int rank() const { return rank_; }
  /// The other rank threw an InputError.
  bool input() const { return input_; }

 private:
  int rank_;
  bool input_;
};

/// Every rank calls it, and each does its `work`, in which it must not communicate. Returns when all have
/// succeeded. Where some threw, the first of these throws what it threw, and all others OtherRankFailed.
void together(Communicator& ranks, const std::function<void()>& work);

/// Every rank calls it, rank 0 does the work; otherwise as together().
void on_first_rank(Communicator& ranks, const std::function<void()>& work);

/// Rank 0's text, on every rank.
std::string first_ranks(Communicator& ranks, std::string text);

/// Throws InputError on a rank whose text differs from rank 0's, which names the first lines that differ, and
/// OtherRankFailed on the others. `what` is plural or uncountable: "settings".
void check_same(Communicator& ranks, const std::string& what, const std::string& text);

/// The largest of all ranks' values.
int largest(Communicator& ranks, int value);

}  // namespace cuclip
