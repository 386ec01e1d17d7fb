#include "core/counted.h"

#include <catch2/catch.hpp>

using namespace cuclip;

TEST_CASE("counted() uses the singular for one") {
  CHECK(counted(0, "picture") == "0 pictures");
  CHECK(counted(1, "picture") == "1 picture");
  CHECK(counted(2, "box", "boxes") == "2 boxes");
}
