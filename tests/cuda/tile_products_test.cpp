// The concepts that kernels made of tile products are constrained by: a type that lacks a part is refused
// where it is named, by the template that needs the part.
#include <catch2/catch.hpp>

#include "kernels/common/tuning.h"
#include "kernels/tiles/row_slices.h"
#include "tests/cuda/tile_products.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

struct FourStages : TuningSm80 {
  struct Tile : TuningSm80::Tile {
    static constexpr int kStages = 4;
  };
};
struct ManyThreads : TuningSm80 {
  struct FfmaProduct : TuningSm80::FfmaProduct {
    static constexpr int kThreads = 1024;
  };
};
struct OneBlock : FourStages {
  struct TensorCoreProduct : TuningSm80::TensorCoreProduct {
    static constexpr int kBlocks = 1;
  };
};

}  // namespace

TEST_CASE("every tile product is accepted for everything") {
  for (const Accepted& a : accepted_products()) {
    INFO(a.type);
    CHECK((a.product && a.pipeline && a.stored && a.statistics && a.patches));
  }
}

TEST_CASE("a product that lacks a part is refused where the part is needed") {
  struct Expected {
    const char* type;
    bool product, pipeline, stored, statistics;  // patches are like products
  };
  const Expected all[] = {
      {"Whole", true, true, true, true},         {"OtherInput", false, true, true, true},
      {"NoOperands", false, true, true, true},   {"NoLoad", false, false, true, true},
      {"NoLoadB", false, true, true, true},      {"NoMultiply", false, false, true, true},
      {"NoRead", false, true, false, true},      {"NoSum", false, true, true, false},
      {"HalfTheRows", false, true, true, false}, {"FewerThreads", false, true, true, false},
      {"NoRowSums", false, true, true, true},    {"int", false, false, false, false}};
  const std::vector<Accepted> found = accepted_parts();
  REQUIRE(found.size() == std::size(all));
  for (size_t i = 0; i < found.size(); ++i) {
    INFO(found[i].type);
    CHECK(found[i].type == all[i].type);
    CHECK(found[i].product == all[i].product);
    CHECK(found[i].pipeline == all[i].pipeline);
    CHECK(found[i].stored == all[i].stored);
    CHECK(found[i].statistics == all[i].statistics);
    CHECK(found[i].patches == all[i].product);
  }
}

TEST_CASE("operands and results are f32 or bf16") {
  CHECK(accepted_elements() == std::vector<bool>{true, true, false, false});
}

TEST_CASE("tuning is refused whose tiles do not fit") {
  CHECK(tiles_fit<TuningSm80>());
  CHECK_FALSE(tiles_fit<FourStages>());  // 64 KB a block, two blocks of which are beyond 100
  CHECK(tiles_fit<OneBlock>());
  CHECK_FALSE(tiles_fit<ManyThreads>());  // half a vector for each
}

TEST_CASE("slices are whole steps, cover every row, and are cut for few tiles only") {
  for (const int64_t rows : {1, 31, 512, 513, 1773, 5000, 100'000}) {
    for (const int64_t tiles : {1, 36, 144, 216, 1000}) {
      const auto [slice_rows, count] = cut_into_slices(rows, tiles, 32);
      INFO(rows << " rows, " << tiles << " tiles: " << count << " slices of " << slice_rows);
      CHECK(slice_rows % 32 == 0);
      CHECK(((count - 1) * slice_rows < rows && rows <= count * slice_rows));
      CHECK((count == 1) == (rows <= 512 || tiles >= 216));
      CHECK((count - 1) * tiles < 216);  // no more blocks than are wanted, but for the last of each tile
    }
  }
}
