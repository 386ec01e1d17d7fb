// Every kind of damaged or foreign weights on the command line: exit code 2, the file's name and the fault,
// nothing written. tests/models/safetensors_test.cpp and weights_test.cpp have the finer points.
#include <catch2/catch.hpp>
#include <cstring>
#include <functional>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using nlohmann::ordered_json;

// A safetensors file in parts.
struct Weights {
  explicit Weights(const std::string& bytes) {
    uint64_t size = 0;
    std::memcpy(&size, bytes.data(), 8);
    header = ordered_json::parse(bytes.substr(8, size));
    data = bytes.substr(8 + size);
  }
  std::string bytes() const { return bytes(header.dump()); }
  std::string bytes(const std::string& text) const {
    std::string size(8, '\0');
    const uint64_t n = text.size();
    std::memcpy(size.data(), &n, 8);
    return size + text + data;
  }
  // The tensor whose bytes come first, or last.
  ordered_json& outermost(bool last) {
    ordered_json* found = nullptr;
    for (auto& [name, entry] : header.items()) {
      if (name == "__metadata__" || entry["data_offsets"][0] == entry["data_offsets"][1]) continue;
      if (!found || ((*found)["data_offsets"][0] < entry["data_offsets"][0]) == last) found = &entry;
    }
    return *found;
  }

  ordered_json header;
  std::string data;
};

struct Fault {
  const char* what;
  const char* mention;
  std::function<std::string(Weights)> make;
};

std::string nested(size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); }

const std::vector<Fault> kFaults = {
    {"header longer than the file", "claims 1048576 bytes",
     [](const Weights& w) { return std::string("\0\0\x10\0\0\0\0\0", 8) + w.bytes().substr(8); }},
    {"overflowing shape", "more elements",
     [](Weights w) {
       w.outermost(true)["shape"] = {int64_t{1} << 62, 1 << 20};
       return w.bytes();
     }},
    {"overlap", "overlap",
     [](Weights w) {
       auto& entry = w.outermost(true);
       const int64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
       entry["data_offsets"] = {begin - 4, end - 4};
       w.data.resize(w.data.size() - 4);
       return w.bytes();
     }},
    {"hole", "belong to no tensor",
     [](Weights w) {
       auto& entry = w.outermost(true);
       const int64_t begin = entry["data_offsets"][0], end = entry["data_offsets"][1];
       entry["data_offsets"] = {begin + 4, end + 4};
       w.data += "hole";
       return w.bytes();
     }},
    {"trailing bytes", "the last 4 bytes belong to no tensor",
     [](Weights w) {
       w.data += "tail";
       return w.bytes();
     }},
    {"duplicate key", "twice",
     [](const Weights& w) {
       const std::string text = w.header.dump();
       const std::string first = text.substr(1, text.find(':') - 1);
       return w.bytes("{" + first + ":{}," + text.substr(1));
     }},
    {"invalid UTF-8", "not JSON",
     [](const Weights& w) {
       std::string text = w.header.dump();
       text.replace(text.find("logit_scale"), 1, "\xFF");
       return w.bytes(text);
     }},
    {"deep nesting", "nested more than 16 deep",
     [](const Weights& w) { return w.bytes("{\"x\":" + nested(100'000) + "," + w.header.dump().substr(1)); }},
    {"unknown dtype", "unknown dtype \"F33\"",
     [](Weights w) {
       w.header["logit_scale"]["dtype"] = "F33";
       return w.bytes();
     }},
    {"wrong shape", "visual.proj (expected [16, 10], found F32 [10, 16])",
     [](Weights w) {
       w.header["visual.proj"]["shape"] = {10, 16};
       return w.bytes();
     }},
    {"missing and extra tensor", "visual.proj [16, 10]",
     [](Weights w) {
       w.header["visual.other"] = w.header["visual.proj"];
       w.header.erase("visual.proj");
       return w.bytes();
     }},
    {"NaN", "is nan; weights must be finite",
     [](Weights w) {
       w.data.replace(w.data.size() - 4, 4, std::string("\0\0\xC0\x7F", 4));
       return w.bytes();
     }},
    {"truncated", "bytes",
     [](const Weights& w) {
       const std::string whole = w.bytes();
       return whole.substr(0, whole.size() - 100);
     }},
    {"empty", "an empty file", [](const Weights&) { return std::string(); }},
    {"pickle", "pickled", [](const Weights&) { return std::string("PK\x03\x04 and more of a zip"); }},
};

TEST_CASE_METHOD(ModelOnDisk, "damaged weights of every kind exit with 2, and name the file and the fault") {
  const std::string checkpoint = run + "/checkpoints/step-3/";
  const Weights whole(read_file(checkpoint + "model.safetensors"));
  folder.write("m/open_clip_config.json", read_file(checkpoint + "open_clip_config.json"));
  const auto encode = [&] {
    return run_cuclip({"encode", "image", picture(0), "--out", folder / "f.npy", "--model", folder / "m"});
  };
  folder.write("m/model.safetensors", whole.bytes());
  CHECK(encode().exit_code == 0);  // taken apart and put together, it is what it was
  std::filesystem::remove(folder / "f.npy");
  for (const Fault& fault : kFaults) {
    folder.write("m/model.safetensors", fault.make(whole));
    const CommandResult result = encode();
    INFO(fault.what << ": " << result.err);
    CHECK(result.exit_code == 2);
    CHECK(result.out.empty());
    CHECK_THAT(result.err, Contains("m/model.safetensors") && Contains(fault.mention));
    CHECK_FALSE(std::filesystem::exists(folder / "f.npy"));
  }
}

}  // namespace
}  // namespace cuclip::test
