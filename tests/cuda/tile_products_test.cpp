// The concepts that kernels made of tile products are constrained by: a type that lacks a part is refused
// where it is named, by the template that needs the part.
#include <catch2/catch.hpp>

#include "kernels/common/tuning.h"
#include "tests/cuda/tile_products.h"

using namespace cuclip;
using namespace cuclip::test;

namespace {

struct FourStages : TuningSm80 {
  struct Tile : TuningSm80::Tile {
    static constexpr int kStages = 4;
  };
  struct TensorCoreProduct : TuningSm80::TensorCoreProduct {
    static constexpr int kStages = 4;
  };
};
struct TallStages : TuningSm80 {
  struct TallProduct : TuningSm80::TallProduct {
    static constexpr int kStages = 3;
  };
};
struct ManyThreads : TuningSm80 {
  struct FfmaProduct : TuningSm80::FfmaProduct {
    static constexpr int kThreads = 1024;
  };
};
struct OneBlock : FourStages {
  struct TensorCoreProduct : FourStages::TensorCoreProduct {
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

TEST_CASE("products whose tile is not a square are refused where it must be one") {
  for (const Accepted& a : accepted_forms()) {
    INFO(a.type);
    CHECK((a.product && a.pipeline && a.stored));
    CHECK_FALSE((a.statistics || a.patches));
  }
}

TEST_CASE("a product that lacks a part is refused where the part is needed") {
  struct Expected {
    const char* type;
    bool product, pipeline, stored, statistics;  // patches are like products
  };
  const Expected all[] = {
      {"Whole", true, true, true, true},          {"OtherInput", false, true, true, true},
      {"NoOperands", false, true, true, true},    {"NoLoad", false, false, true, true},
      {"NoLoadB", false, true, true, true},       {"NoMultiply", false, false, true, true},
      {"NoRead", false, true, false, true},       {"NoSum", false, true, true, false},
      {"HalfTheRows", false, true, true, false},  {"MoreColumns", false, true, true, false},
      {"FewerThreads", false, true, true, false}, {"NoRowSums", false, true, true, true},
      {"int", false, false, false, false}};
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
  CHECK_FALSE(tiles_fit<TallStages>());   // 60 KB a block
  CHECK_FALSE(tiles_fit<ManyThreads>());  // half a vector for each
}
