#include "models/files/npy.h"

#include <catch2/catch.hpp>
#include <cstring>

#include "core/file_io.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"

namespace cuclip::test {
namespace {

// Reads what write_npy writes, strictly by the format's description.
struct NpyFile {
  explicit NpyFile(const std::string& bytes) {
    REQUIRE(bytes.size() >= 10);
    REQUIRE(bytes.substr(0, 8) == std::string("\x93NUMPY\x01\x00", 8));
    const size_t length = static_cast<uint8_t>(bytes[8]) + 256u * static_cast<uint8_t>(bytes[9]);
    REQUIRE((10 + length) % 64 == 0);
    header = bytes.substr(10, length);
    REQUIRE(header.back() == '\n');
    data = bytes.substr(10 + length);
  }
  std::string header, data;
};

TEST_CASE("a .npy file has NumPy's header and the tensor's bytes") {
  const TemporaryFolder folder;
  struct Case {
    Shape shape;
    std::string tuple;
  };
  for (const Case& c : {Case{{}, "()"}, Case{{5}, "(5, )"}, Case{{2, 3}, "(2, 3)"}, Case{{0, 7}, "(0, 7)"},
                        Case{{4, 1, 5}, "(4, 1, 5)"}, Case{{1000, 17}, "(1000, 17)"}}) {
    const Buffer tensor = Buffer::normal(c.shape, DType::f32);
    write_npy(folder / "x.npy", tensor.view());
    const NpyFile file(read_file(folder / "x.npy"));
    CHECK_THAT(file.header,
               Catch::StartsWith("{'descr': '<f4', 'fortran_order': False, 'shape': " + c.tuple + ", }"));
    REQUIRE(file.data.size() == static_cast<size_t>(tensor.elements()) * 4);
    CHECK(std::memcmp(file.data.data(), tensor.view().data, file.data.size()) == 0);
  }
}

TEST_CASE("bf16 is refused: NumPy has no such type") {
  const TemporaryFolder folder;
  CHECK_THROWS_WITH(write_npy(folder / "x.npy", Buffer::zeros({2}, DType::bf16).view()),
                    Catch::Contains("bf16"));
}

}  // namespace
}  // namespace cuclip::test
