#include "models/files/safetensors.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>

#include "core/file_io.h"
#include "models/files/strict_json.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"

namespace cuclip {
namespace {

using Catch::Contains;
using test::Buffer;
using test::TemporaryFolder;

const std::string kData = test::test_data() + "/safetensors/";

std::string file_of(const std::string& header, const std::string& data = "") {
  std::string bytes(8, '\0');
  const uint64_t size = header.size();
  std::memcpy(bytes.data(), &size, 8);
  return bytes + header + data;
}

Safetensors parse(const std::string& bytes) {
  return Safetensors::parse(std::as_bytes(std::span<const char>(bytes)), "f.safetensors");
}

std::vector<float> floats(const Safetensors& file, const std::string& name) {
  const SafetensorsEntry* entry = file.find(name);
  REQUIRE(entry);
  std::vector<float> values(static_cast<size_t>(entry->elements()));
  copy_to_f32(*entry, name, values);
  return values;
}

TEST_CASE("a file of the reference implementation is read, every dtype of it") {
  const Safetensors file = Safetensors::open(kData + "every_dtype.safetensors");
  CHECK(file.metadata() == std::map<std::string, std::string>{{"format", "pt"}});
  const std::map<std::string, std::string> expected = {
      {"bf16", "BF16 [3]"},  {"bool", "BOOL [2]"},  {"empty", "F32 [3, 0]"}, {"f16", "F16 [10]"},
      {"f32", "F32 [2, 3]"}, {"f64", "F64 [1, 2]"}, {"f8", "F8_E4M3 [2]"},   {"i16", "I16 [2]"},
      {"i32", "I32 [2]"},    {"i64", "I64 [2]"},    {"i8", "I8 [2]"},        {"naïve.ключ", "F32 [1]"},
      {"scalar", "F32 []"},  {"u8", "U8 [2]"}};
  std::map<std::string, std::string> found;
  for (const auto& [name, entry] : file.tensors()) found[name] = entry.describe();
  CHECK(found == expected);
  CHECK(floats(file, "f32") == std::vector<float>{1.5f, -2.25f, 3e38f, 0.0f, -0.0f, 1e-45f});
  CHECK(floats(file, "scalar") == std::vector<float>{4.6052f});
  CHECK(floats(file, "empty").empty());
  CHECK(floats(file, "bf16") == std::vector<float>{1.0f, -3.140625f, static_cast<float>(bfloat16(3e38f))});
  const std::vector<float> halves = floats(file, "f16");
  CHECK(std::vector<float>(halves.begin(), halves.begin() + 5) ==
        std::vector<float>{0.0f, -0.0f, 1.0f, -2.5f, 65504.0f});
  CHECK(std::signbit(halves[1]));
  CHECK(halves[5] == 1023 * 0x1p-24f);  // the largest subnormal
  CHECK(halves[6] == 0x1p-24f);         // the smallest
  CHECK(halves[7] == -17 * 0x1p-24f);
  CHECK(halves[8] == std::numeric_limits<float>::infinity());
  CHECK(std::isnan(halves[9]));
  CHECK(file.find("none") == nullptr);
  std::vector<float> two(2);
  CHECK_THROWS_WITH(copy_to_f32(*file.find("i64"), "i64", two),
                    Contains("expected F32, BF16 or F16, found I64"));
  CHECK_THROWS_WITH(copy_to_f32(*file.find("f32"), "f32", two),
                    Contains("2 values wanted") && Contains("F32 [2, 3]"));
}

TEST_CASE("what the reference implementation writes is written with the same bytes") {
  const TemporaryFolder folder;
  const Buffer a = Buffer::from({2, 3}, DType::f32, {0, 1, 2, 3, 4, 5});
  const Buffer b = Buffer::from({1}, DType::f32, {-1.5});
  const Buffer c = Buffer::from({1, 3}, DType::u8, {1, 2, 250});
  const std::vector<std::pair<std::string, TensorView>> tensors = {
      {"a.weight", a.view()}, {"b.bias", b.view()}, {"c", c.view()}};
  write_safetensors(folder / "f", tensors, {{"format", "np"}});
  CHECK(read_file(folder / "f") == read_file(kData + "floats.safetensors"));
}

TEST_CASE("tensors of any shape and dtype survive being written and read") {
  const TemporaryFolder folder;
  for (int round = 0; round < 20; ++round) {
    std::vector<Buffer> buffers;
    std::vector<std::pair<std::string, TensorView>> tensors;
    for (int i = 0; i < 6; ++i) {
      Shape shape;
      std::vector<int64_t> extents(test::rng()() % 5);
      for (int64_t& extent : extents) extent = static_cast<int64_t>(test::rng()() % 5);
      shape = Shape(std::span<const int64_t>(extents));
      buffers.push_back(i % 2 ? Buffer::normal(shape, DType::bf16) : Buffer::indices(shape, 100));
    }
    for (const Buffer& buffer : buffers)
      tensors.emplace_back("t\"" + std::to_string(tensors.size()), buffer.view());
    write_safetensors(folder / "f", tensors);
    const Safetensors file = Safetensors::open(folder / "f");
    REQUIRE(file.tensors().size() == buffers.size());
    for (size_t i = 0; i < buffers.size(); ++i) {
      const SafetensorsEntry& entry = *file.find(tensors[i].first);
      CHECK(entry.dtype == (i % 2 ? "BF16" : "I32"));
      REQUIRE(Shape(std::span<const int64_t>(entry.shape)) == buffers[i].shape());
      REQUIRE(entry.data.size() == static_cast<size_t>(buffers[i].elements()) * size_of(buffers[i].dtype()));
      CHECK((entry.data.empty() ||
             std::memcmp(entry.data.data(), buffers[i].view().data, entry.data.size()) == 0));
    }
  }
}

TEST_CASE("the tensors of a written file start at a multiple of 8 bytes") {
  const TemporaryFolder folder;
  const Buffer value = Buffer::zeros({1}, DType::f32);
  for (std::string name = "x"; name.size() < 10; name += 'x') {
    const std::vector<std::pair<std::string, TensorView>> tensors = {{name, value.view()}};
    write_safetensors(folder / "f", tensors);
    const std::string bytes = read_file(folder / "f");
    CHECK((bytes.size() - 4) % 8 == 0);
    CHECK(parse(bytes).find(name)->data.size() == 4);
  }
  write_safetensors(folder / "f", {});
  CHECK(Safetensors::open(folder / "f").tensors().empty());
}

TEST_CASE("tensors that cannot be told apart or are not there are not written") {
  const TemporaryFolder folder;
  const Buffer value = Buffer::zeros({1}, DType::f32);
  using Tensors = std::vector<std::pair<std::string, TensorView>>;
  CHECK_THROWS_WITH(write_safetensors(folder / "f", Tensors{{"a", value.view()}, {"a", value.view()}}),
                    Contains("two tensors named a"));
  CHECK_THROWS_WITH(write_safetensors(folder / "f", Tensors{{"__metadata__", value.view()}}),
                    Contains("named"));
  CHECK_THROWS_WITH(write_safetensors(folder / "f", Tensors{{"a", TensorView()}}),
                    Contains("a was not given"));
  CHECK_FALSE(std::filesystem::exists(folder / "f"));
}

namespace {

// What a header says of one tensor, and eight bytes of data behind it.
std::string one(const char* description) { return std::string(R"({"a":)") + description + "}"; }
const std::string kPayload(8, '\1');

// A file, and what its refusal says.
const std::pair<std::string, const char*> kDamagedHeaders[] = {
    {"", "found only 0 bytes"},
    {std::string(7, '\0'), "found only 7 bytes"},
    {std::string(8, '\0'), "not JSON"},
    {std::string("\x10\0\0\0\0\0\0\0{}", 10), "claims 16 bytes, the file has 2"},
    {std::string(8, '\xFF') + "{}", "claims 18446744073709551615 bytes"},
    {file_of("[]"), "expected a JSON object, got array"},
    {file_of("{"), "not JSON"},
    {file_of("{} x"), "not JSON"},
    {file_of("\x80{}"), "not JSON"},
    {file_of("{\"\xFF\":{\"dtype\":\"U8\",\"shape\":[8],\"data_offsets\":[0,8]}}", kPayload),
     "ill-formed UTF-8"},
    {file_of(std::string(100'000, '[')), "nested more than 16 deep"},
    {file_of(R"({"a":)" + std::string(100'000, '[') + std::string(100'000, ']') + "}"),
     "nested more than 16"},
    {file_of(R"({"a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]},)"
             R"("a":{"dtype":"U8","shape":[8],"data_offsets":[0,8]}})",
             kPayload),
     "key \"a\" twice"},
    {file_of(one(R"({"dtype":"U8","dtype":"I8","shape":[8],"data_offsets":[0,8]})"), kPayload),
     "key \"dtype\" twice"},
    {file_of(one("1")), "a: expected an object with dtype, shape and two data_offsets, got 1"},
    {file_of(one(R"({"shape":[8],"data_offsets":[0,8]})"), kPayload), "expected an object with dtype"},
    {file_of(one(R"({"dtype":"U8","data_offsets":[0,8]})"), kPayload),
     "expected an object with dtype, shape"},
    {file_of(one(R"({"dtype":"U8","shape":[8]})"), kPayload), "two data_offsets"},
    {file_of(one(R"({"dtype":"U8","shape":[8],"data_offsets":[8]})"), kPayload), "two data_offsets"},
    {file_of(one(R"({"dtype":"U8","shape":[8],"data_offsets":[0,8,8]})"), kPayload), "two data_offsets"},
    {file_of(one(R"({"dtype":"float32","shape":[2],"data_offsets":[0,8]})"), kPayload),
     "unknown dtype \"float32\""},
    {file_of(one(R"({"dtype":7,"shape":[2],"data_offsets":[0,8]})"), kPayload),
     "expected an object with dtype"},
    {file_of(one(R"({"dtype":"F32","shape":2,"data_offsets":[0,8]})"), kPayload),
     "expected an object with dtype, shape"},
    {file_of(one(R"({"dtype":"F32","shape":[-2],"data_offsets":[0,8]})"), kPayload),
     "whole number >= 0, got -2"},
    {file_of(one(R"({"dtype":"F32","shape":[2.0],"data_offsets":[0,8]})"), kPayload),
     "whole number >= 0, got 2.0"},
    {file_of(one(R"({"dtype":"F32","shape":["2"],"data_offsets":[0,8]})"), kPayload), "whole number >= 0"},
    {file_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[0,-8]})"), kPayload),
     "offset must be a whole number"},
    {file_of(one(R"({"dtype":"F32","shape":[4294967296,4294967296],"data_offsets":[0,8]})"), kPayload),
     "has more elements than fit"},
    {file_of(one(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,8]})"), kPayload),
     "more elements"},
    {file_of(one(R"({"dtype":"F64","shape":[2305843009213693953],"data_offsets":[0,8]})"), kPayload),
     "more elements"},
    {file_of(one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})"), kPayload),
     "a: F32 [3] takes 12 bytes, the offsets give 8"},
    {file_of(one(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})"), kPayload),
     "bytes 0 to 12 do not lie in the file"},
    {file_of(one(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})"), kPayload), "bytes 8 to 0"},
    {file_of(one(R"({"dtype":"F32","shape":[1],"data_offsets":[0,4]})"), kPayload),
     "the last 4 bytes belong to no tensor"},
    {file_of(one(R"({"dtype":"F32","shape":[1],"data_offsets":[4,8]})"), kPayload),
     "4 bytes before a belong to no tensor"},
    {file_of("{}", kPayload), "the last 8 bytes belong to no tensor"},
    {file_of(R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]},)"
             R"("b":{"dtype":"U8","shape":[5],"data_offsets":[3,8]}})",
             kPayload),
     "b: its bytes overlap"},
    {file_of(R"({"__metadata__":{"step":1}})"), "must hold strings, \"step\" is number"},
    {file_of(R"({"__metadata__":[]})"), "__metadata__ must be an object, got array"},
};

}  // namespace

TEST_CASE("damaged headers are refused, with what was expected and found") {
  for (const auto& [bytes, message] : kDamagedHeaders) {
    INFO(bytes.substr(0, 200));
    CHECK_THROWS_WITH(parse(bytes), Contains("f.safetensors") && Contains(message));
    CHECK_THROWS_AS(parse(bytes), InputError);
  }
}

TEST_CASE("a message has as much of a hostile header as fits in a few lines") {
  const std::string digits(300'000, '9'), letters(300'000, 'x'), quoted = '"' + letters + '"';
  const std::string good = R"({"dtype":"U8","shape":[8],"data_offsets":[0,8]})";
  std::string ones = "1";
  for (int i = 0; i < 100'000; ++i) ones += ",1";
  for (const std::string& header : {
           one((R"({"dtype":"U8","shape":[)" + digits + R"(],"data_offsets":[0,8]})").c_str()),
           one((R"({"dtype":"U8","shape":[)" + quoted + R"(],"data_offsets":[0,8]})").c_str()),
           one((R"({"dtype":"U8","shape":[8],"data_offsets":[0,)" + quoted + "]}").c_str()),
           one((R"({"dtype":)" + quoted + R"(,"shape":[8],"data_offsets":[0,8]})").c_str()),
           one((R"({"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,8]})").c_str()),
           one((R"({"dtype":"U8","shape":[)" + ones + R"(],"data_offsets":[0,9]})").c_str()),
           one(quoted.c_str()),
           "{" + quoted + R"(:{"dtype":"U8","shape":[4],"data_offsets":[0,8]}})",
           "{" + quoted + R"(:{"dtype":"U8","shape":[4],"data_offsets":[4,8]}})",
           R"({"a":)" + good + "," + quoted + ":" + good + "}",
           R"({"__metadata__":{)" + quoted + ":1}}",
           "{" + quoted,
           "{" + quoted + ":" + good + "," + quoted + ":" + good + "}",
       }) {
    INFO(header.substr(0, 60));
    std::string message;
    try {
      parse(file_of(header, kPayload));
    } catch (const InputError& error) {
      message = error.what();
    }
    CHECK_THAT(message, Contains("f.safetensors"));
    CHECK(message.size() < 600);
  }
  CHECK_THROWS_WITH(
      parse(file_of(one(R"({"dtype":"U8","shape":[8,1,1,1,1,1,1,1,1],"data_offsets":[0,8]})"), kPayload)),
      Contains("a: the shape has 9 dimensions, expected at most 8"));
  CHECK_NOTHROW(
      parse(file_of(one(R"({"dtype":"U8","shape":[8,1,1,1,1,1,1,1],"data_offsets":[0,8]})"), kPayload)));
}

TEST_CASE("a file cut off anywhere is refused") {
  const std::string whole = read_file(kData + "floats.safetensors");
  for (size_t size = 0; size < whole.size(); ++size)
    CHECK_THROWS_AS(parse(whole.substr(0, size)), InputError);
  CHECK_THROWS_AS(parse(whole + '\0'), InputError);
  CHECK_NOTHROW(parse(whole));
}

TEST_CASE("files that are something else are refused with a hint") {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> cases[] = {
      {std::string("PK\x03\x04\0\0\0\0\0\0\0\0", 12), "pickled PyTorch"},
      {std::string("\x80\x02\x8a\x0al\xfc\x9c\x46\xf9 j", 11), "pickled PyTorch"},
      {std::string("\x80\x04\x95", 3), "pickled PyTorch"},
      {"version https://git-lfs.github.com/spec/v1\noid sha256:00", "git lfs pull"},
      {"<!DOCTYPE html><html>", "HTML"},
  };
  for (const auto& [bytes, message] : cases) {
    const std::string path = folder.write("model.pt", bytes);
    CHECK_THROWS_WITH(Safetensors::open(path), Contains(path) && Contains(message));
  }
  CHECK_THROWS_WITH(Safetensors::open(folder.write("empty", "")), Contains("an empty file"));
  CHECK_THROWS_WITH(Safetensors::open(folder.path()), Contains("a folder"));
  CHECK_THROWS_WITH(Safetensors::open(folder / "none"), Contains("No such file"));
}

// The most memory that this process has used at once, in bytes, including the pages of mapped files.
size_t peak_memory() {
  rusage usage{};
  REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

TEST_CASE("the metadata of a file are read without its values, and checked like all of it") {
  constexpr size_t kBytes = size_t{1} << 30;
  const TemporaryFolder folder;
  const std::string header =
      R"({"__metadata__": {"a": "b"}, "x": {"dtype": "U8", "shape": [1073741824], "data_offsets": [0, 1073741824]}})";
  const std::string path = folder.write("large", file_of(header));
  std::filesystem::resize_file(path, 8 + header.size() + kBytes);  // a hole: it takes no room
  const size_t before = peak_memory();
  CHECK(Safetensors::read_metadata(path) == std::map<std::string, std::string>{{"a", "b"}});
  CHECK(peak_memory() - before < kBytes / 4);
  std::filesystem::resize_file(path, 8 + header.size() + kBytes - 1);
  CHECK_THROWS_WITH(Safetensors::read_metadata(path), Contains(path) && Contains("truncated"));
  for (const char* bytes : {"", "\x01", "1234567", "PK\x03\x04", "\xff\xff\xff\xff\xff\xff\xff\xff"}) {
    const std::string other = folder.write("other", bytes);
    CHECK_THROWS_WITH(Safetensors::read_metadata(other), Contains(other));
  }
}

TEST_CASE("every value of 16 bits is widened exactly, NaN stays NaN") {
  std::vector<uint16_t> bits(1 << 16);
  for (size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<uint16_t>(i);
  for (const bool half : {true, false}) {
    const int mantissa_bits = half ? 10 : 7, exponent_bits = 15 - mantissa_bits;
    const SafetensorsEntry entry{
        .dtype = half ? "F16" : "BF16", .shape = {1 << 16}, .data = std::as_bytes(std::span(bits))};
    std::vector<float> out(bits.size());
    copy_to_f32(entry, "x", out);
    const int most = (1 << exponent_bits) - 1, bias = most / 2;
    int wrong = 0;
    for (int i = 0; i < 1 << 16; ++i) {
      const int mantissa = i & ((1 << mantissa_bits) - 1), exponent = i >> mantissa_bits & most;
      const float found = out[static_cast<size_t>(i)];
      if (std::signbit(found) != (i >> 15 == 1)) ++wrong;
      if (exponent == most) {
        if (mantissa == 0 ? !std::isinf(found) : !std::isnan(found)) ++wrong;
        continue;
      }
      const int significand = exponent > 0 ? mantissa + (1 << mantissa_bits) : mantissa;
      const double value = std::ldexp(significand, std::max(exponent, 1) - bias - mantissa_bits);
      if (std::abs(static_cast<double>(found)) != value) ++wrong;
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("a header whose length looks like a pickle is read all the same") {
  for (const size_t size : {0x280, 0x480, 0x580}) {  // the length's first bytes are 80 02, 80 04, 80 05
    std::string header = "{}";
    header.resize(size, ' ');
    CHECK_NOTHROW(parse(file_of(header)));
  }
}

}  // namespace
}  // namespace cuclip
