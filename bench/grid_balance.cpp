// How evenly the weight gradients' blocks load GPUs of 108 (A100), 132 (H100), 142 (L40S) and 148 (B200)
// multiprocessors, as tests/support/grid_balance.h models it: nothing is timed. For CLIP's layers, beside the
// equal slices of one round of blocks.
#include <fmt/format.h>

#include <set>

#include "kernels/common/tuning.h"
#include "tests/support/grid_balance.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

constexpr int kMultiprocessors[] = {108, 132, 142, 148};
constexpr int64_t kStep = 32;  // of bf16

std::string balances(const RowSlices& slices, int64_t tiles) {
  std::string text;
  for (const int multiprocessors : kMultiprocessors) {
    text += fmt::format(" {:3.0f}", 100 * grid_balance(slice_work(slices), tiles, multiprocessors));
  }
  return text;
}

}  // namespace

int main() {
  fmt::print(
      "| width | tiles | rows | equal slices | balance at 108, 132, 142, 148, % | slices | balance, % |\n");
  fmt::print("|---|---|---|---|---|---|---|\n");
  for (const int64_t width : {512, 768, 1024}) {
    for (const int64_t outputs : {1, 3, 4}) {  // projections, queries to values, MLP
      const int64_t tiles = width / 128 * width / 128 * outputs;
      for (const auto& [pictures, tokens] : {std::pair<int64_t, int64_t>{9, 50},
                                             {9, 197},
                                             {64, 77},
                                             {256, 50},
                                             {256, 77},
                                             {256, 197},
                                             {256, 257}}) {
        const int64_t rows = pictures * tokens;
        const RowSlices before = equal_slices(rows, tiles, kStep), now = cut_into_slices(rows, tiles, kStep);
        fmt::print("| {} | {} | {} x {} | {} |{} | {}{} |{} |\n", width, tiles, pictures, tokens,
                   before.count, balances(before, tiles), now.count, now.falling ? ", falling" : "",
                   balances(now, tiles));
      }
    }
  }
}
