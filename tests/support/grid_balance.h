// How evenly the blocks of a grid load a GPU: a model, from the blocks' work and the number of
// multiprocessors alone.
#pragma once

#include <functional>
#include <queue>
#include <tuple>
#include <vector>

#include "kernels/tiles/row_slices.h"

namespace cuclip::test {

/// The work of each slice's block of a weight gradient, in rows.
inline std::vector<double> slice_work(const RowSlices& slices) {
  std::vector<double> work;
  for (int64_t i = 0; i < slices.count; ++i) {
    work.push_back(static_cast<double>(slices.begin(i + 1) - slices.begin(i)) +
                   static_cast<double>(slices.count > 1 ? SumOrder::kSumsAsRows : 0));
  }
  return work;
}

/// All work / (multiprocessors x the time that they take for it) of a grid with `each` blocks of work[0],
/// then as many of work[1], and so on. A multiprocessor runs up to `resident` blocks at once, which share its
/// time equally; the next block goes where one ends.
inline double grid_balance(const std::vector<double>& work, int64_t each, int multiprocessors,
                           int resident = 2) {
  // A multiprocessor's clock stands for the work that each of its blocks has got so far; `ends` has the clock
  // at which they end.
  struct Multiprocessor {
    double clock = 0;
    std::priority_queue<double, std::vector<double>, std::greater<>> ends;
    int changes = 0;
  };
  using Event = std::tuple<double, int, int>;  // when the first block ends, where, after how many changes
  std::vector<Multiprocessor> all(static_cast<size_t>(multiprocessors));
  std::priority_queue<Event, std::vector<Event>, std::greater<>> events;
  const int64_t blocks = each * std::ssize(work);
  int64_t next = 0;
  double time = 0, sum = 0;
  const auto start = [&](Multiprocessor& m) {
    if (next == blocks) return;
    m.ends.push(m.clock + work[static_cast<size_t>(next / each)]);
    sum += work[static_cast<size_t>(next++ / each)];
  };
  const auto await = [&](int i) {
    Multiprocessor& m = all[static_cast<size_t>(i)];
    ++m.changes;
    if (m.ends.empty()) return;
    events.emplace(time + (m.ends.top() - m.clock) * static_cast<double>(m.ends.size()), i, m.changes);
  };
  for (int round = 0; round < resident; ++round) {
    for (Multiprocessor& m : all) start(m);
  }
  for (int i = 0; i < multiprocessors; ++i) await(i);
  while (!events.empty()) {
    const auto [at, i, changes] = events.top();
    events.pop();
    Multiprocessor& m = all[static_cast<size_t>(i)];
    if (changes != m.changes) continue;
    time = at;
    m.clock = m.ends.top();
    m.ends.pop();
    start(m);
    await(i);
  }
  return sum / (multiprocessors * time);
}

}  // namespace cuclip::test
