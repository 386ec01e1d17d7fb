// Models see a photograph as it lies in its file; people see it upright, as its EXIF orientation says.
#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

// The same pixels with an orientation and without one.
const std::filesystem::path kTurned = std::filesystem::path(test_data()) / "pictures/exif_rotated.jpg",
                            kLying = std::filesystem::path(test_data()) / "pictures/yuv420.jpg";

TEST_CASE_METHOD(ModelOnDisk,
                 "contact sheets and matrices show photographs upright; features are of them as they lie") {
  std::vector<std::string> sheets, matrices;
  std::vector<double> similarities;
  for (const std::string name : {"turned", "lying"}) {
    const std::string file = folder.write(name + "/a.jpg", read_file(name == "turned" ? kTurned : kLying));
    const std::string index = folder / (name + ".cuclip-index"), sheet = folder / (name + "-sheet.svg"),
                      matrix = folder / (name + "-matrix.svg");
    REQUIRE(cuclip({"index", folder / name, "--out", index}).exit_code == 0);
    const auto found = cuclip_json({"search", index, "a", "--contact-sheet", sheet});
    similarities.push_back(found["hits"][0]["similarity"].get<double>());
    REQUIRE(cuclip({"matrix", "--images", file, "--texts", "a", "--out", matrix}).exit_code == 0);
    sheets.push_back(read_file(sheet));
    matrices.push_back(read_file(matrix));
  }
  CHECK(similarities[0] == similarities[1]);
  CHECK(sheets[0] != sheets[1]);
  CHECK(matrices[0] != matrices[1]);
}

}  // namespace
}  // namespace cuclip::test
