#include <catch2/catch.hpp>

#include "tests/support/grid_balance.h"

using namespace cuclip;
using namespace cuclip::test;

TEST_CASE("slices are whole steps, cover every row, fall if at all, and none is empty") {
  for (const int64_t step : {16, 32}) {
    for (const int64_t rows : {1, 31, 512, 513, 1773, 5000, 16'640, 100'000}) {
      for (const int64_t tiles : {1, 5, 16, 36, 64, 144, 216, 256, 1000, 5000}) {
        const RowSlices slices = cut_into_slices(rows, tiles, step);
        INFO(rows << " rows, " << tiles << " tiles: " << slices.count << " slices");
        CHECK(slices.begin(0) == 0);
        CHECK(slices.begin(slices.count) == rows);
        int64_t before = rows;
        for (int64_t i = 0; i < slices.count; ++i) {
          const int64_t length = slices.begin(i + 1) - slices.begin(i);
          CHECK(length > 0);
          CHECK(slices.begin(i) % step == 0);
          // Rounding to steps may lengthen a slice by one.
          CHECK(length < before + (slices.falling ? 2 * step : rows));
          before = length;
        }
      }
    }
  }
  CHECK(cut_into_slices(0, 36, 32).count == 1);
}

TEST_CASE("few rows are cut no more often than one round of blocks needs, and sums stay cheaper than rows") {
  for (const int64_t rows : {450, 1773, 2313, 5000, 12'800, 50'432}) {
    for (const int64_t tiles : {1, 16, 36, 64, 144, 256, 1000}) {
      const RowSlices slices = cut_into_slices(rows, tiles, 32);
      INFO(rows << " rows, " << tiles << " tiles: " << slices.count << " slices");
      const bool one_round = (slices.count - 1) * tiles < SumOrder::kGradientBlocks;
      CHECK((one_round || slices.count * SumOrder::kFallingRows <= rows));
      CHECK((slices.count == 1 || (slices.count - 1) * SumOrder::kSliceRows < rows));
    }
  }
}

TEST_CASE("the model of a grid's balance agrees with grids that are easily worked out") {
  CHECK(grid_balance({1}, 216, 108) == Approx(1));
  CHECK(grid_balance({1}, 216, 132) == Approx(216.0 / 264));  // 84 multiprocessors run two
  CHECK(grid_balance({1}, 66, 132) == Approx(0.5));
  CHECK(grid_balance({1}, 109, 108, 1) == Approx(109.0 / 216));
  CHECK(grid_balance({2, 1}, 2, 1) == Approx(1));
  // The two of 1 follow where one of 2 would have ended, one after the other.
  CHECK(grid_balance({2, 1}, 2, 2, 1) == Approx(1));
  CHECK(grid_balance({3, 1}, 1, 2, 1) == Approx(4.0 / 6));
}

TEST_CASE("weight gradients of CLIP's layers load GPUs evenly where they have many rows") {
  for (const int64_t width : {512, 768, 1024}) {
    for (const int64_t outputs : {1, 3, 4}) {
      const int64_t tiles = width / 128 * width / 128 * outputs;
      for (const int64_t rows : {256 * 77, 256 * 197, 256 * 257}) {
        const std::vector<double> work = slice_work(cut_into_slices(rows, tiles, 32));
        for (const int multiprocessors : {108, 132, 142, 148}) {
          INFO(width << ", " << tiles << " tiles, " << rows << " rows, " << multiprocessors
                     << " multiprocessors");
          CHECK(grid_balance(work, tiles, multiprocessors) >= 0.9);
        }
      }
    }
  }
}
