// Whether a data set is still the one that a run was trained on.
#pragma once

#include <cstdint>
#include <string>

namespace cuclip {

/// What training sees of a data set, in parts, so that a difference can be named. It covers the names of all
/// usable pairs in their order, the text of all their captions as the tokeniser gets them, and the sizes of
/// the pictures' files in bytes. Reading these takes 1 us per pair at best, 6 us in the median (5,000 pairs
/// of a shard, on two threads of a busy machine). Not covered are the pictures' contents where the size stays
/// the same (reading them all would take as long as an epoch), times of modification (a copy has others), and
/// where the data lies: a set that was moved as a whole is the same. (The names of a CSV file are the paths
/// as it has them.)
struct DatasetFingerprint {
  int64_t pairs = 0;
  uint64_t names = 0;
  uint64_t captions = 0;
  uint64_t sizes = 0;

  bool operator==(const DatasetFingerprint&) const = default;
};

/// How `now` differs from `then`, in words: "1 pair fewer (23 instead of 24)", "the captions of the pairs
/// differ". Empty where they are the same.
std::string difference(const DatasetFingerprint& then, const DatasetFingerprint& now);

}  // namespace cuclip
