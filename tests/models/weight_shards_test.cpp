#include "models/clip/weight_shards.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "models/files/safetensors.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using nlohmann::json;
namespace fs = std::filesystem;

std::set<std::string> names_in(const fs::path& folder) {
  std::set<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

std::map<std::string, std::string> tensors_of(const fs::path& file) {
  std::map<std::string, std::string> tensors;
  const Safetensors opened = Safetensors::open(file);
  for (const auto& [name, entry] : opened.tensors()) {
    const auto* bytes = reinterpret_cast<const char*>(entry.data.data());
    tensors[name] = entry.describe() + std::string(bytes, entry.data.size());
  }
  return tensors;
}

size_t bytes_of(const fs::path& file) {
  const Safetensors opened = Safetensors::open(file);
  size_t bytes = 0;
  for (const auto& [name, entry] : opened.tensors()) bytes += entry.data.size();
  return bytes;
}

struct Fixture {
  Fixture() { randomise(model); }
  // What was written, and put in its place, for this limit.
  PendingWeights written(const std::string& name, int64_t max_bytes) {
    fs::create_directories(folder / name);
    PendingWeights pending = pending_weights(model, folder / name, WeightNames::hugging_face, max_bytes);
    for (const std::string& there : names_in(folder / name)) CHECK_THAT(there, Contains(".tmp-"));
    for (PendingFile& file : pending.files) {
      CHECK_FALSE(fs::exists(folder / name / pending.names.back()));
      file.commit();
    }
    CHECK(fs::exists(folder / name / pending.names.back()));
    return pending;
  }

  Context context{1};
  ClipModel model{context, tiny_config()};
  TemporaryFolder folder;
};

TEST_CASE_METHOD(Fixture, "shards have together, in the index's places, the tensors of the one file") {
  const PendingWeights one = written("one", std::numeric_limits<int64_t>::max());
  CHECK(one.files.size() == 1);
  CHECK(one.oversized == 0);
  CHECK(names_in(folder / "one") == std::set<std::string>{"model.safetensors"});
  save_weights(model, folder / "saved.safetensors", {}, WeightNames::hugging_face);
  CHECK(read_file(folder / "one/model.safetensors") == read_file(folder / "saved.safetensors"));
  const auto all = tensors_of(folder / "one/model.safetensors");
  size_t largest = 0, total = 0;
  const Safetensors opened = Safetensors::open(folder / "one/model.safetensors");
  for (const auto& [name, entry] : opened.tensors()) {
    largest = std::max(largest, entry.data.size());
    total += entry.data.size();
  }
  const int random = 1 + static_cast<int>(rng()() % total);
  for (const auto max_bytes : {int64_t{1}, int64_t{4000}, static_cast<int64_t>(largest),
                               static_cast<int64_t>(total - 1), static_cast<int64_t>(random)}) {
    INFO(max_bytes);
    const std::string name = std::to_string(max_bytes);
    const PendingWeights pending = written(name, max_bytes);
    REQUIRE(pending.names.back() == "model.safetensors.index.json");
    const json index = json::parse(read_file(folder / name / pending.names.back()));
    CHECK(index.at("metadata").at("total_size") == total);
    const size_t shards = pending.files.size() - 1;
    std::map<std::string, std::string> found;
    int64_t oversized = 0;
    for (size_t i = 1; i <= shards; ++i) {
      const std::string file = fmt::format("model-{:05}-of-{:05}.safetensors", i, shards);
      CHECK(is_weights_name(file));
      const auto tensors = tensors_of(folder / name / file);
      REQUIRE_FALSE(tensors.empty());
      CHECK(Safetensors::read_metadata(folder / name / file).at("format") == "pt");
      const bool too_large = bytes_of(folder / name / file) > static_cast<size_t>(max_bytes);
      if (too_large) CHECK(tensors.size() == 1);
      oversized += too_large;
      for (const auto& [tensor, contents] : tensors) {
        CHECK(index.at("weight_map").at(tensor) == file);
        CHECK(found.emplace(tensor, contents).second);
      }
    }
    CHECK(found == all);
    CHECK(index.at("weight_map").size() == all.size());
    CHECK(names_in(folder / name).size() == shards + 1);
    CHECK(pending.oversized == oversized);
  }
  CHECK(names_in(folder / "1").size() == all.size() + 1);  // a file for each tensor
}

TEST_CASE_METHOD(Fixture, "weights of exactly the limit are one file") {
  written("one", std::numeric_limits<int64_t>::max());
  const auto total = static_cast<int64_t>(bytes_of(folder / "one/model.safetensors"));
  written("exact", total);
  CHECK(names_in(folder / "exact") == std::set<std::string>{"model.safetensors"});
  CHECK_THROWS_WITH(pending_weights(model, folder.path(), WeightNames::open_clip, 0),
                    Contains("above 0, got 0"));
}

TEST_CASE_METHOD(Fixture, "what is not put in its place leaves nothing") {
  { const PendingWeights dropped = pending_weights(model, folder.path(), WeightNames::open_clip, 4000); }
  CHECK(names_in(folder.path()).empty());
}

TEST_CASE("names of weights are recognised, and others are not") {
  for (const char* name : {"model.safetensors", "model.safetensors.index.json",
                           "model-00001-of-00002.safetensors", "model-100000-of-100000.safetensors"}) {
    CHECK(is_weights_name(name));
  }
  for (const char* name :
       {"", "model", "model-.safetensors", "model-1-of-2.safetensors",
        "model-00001-of-00002.safetensors.tmp-abcdef", "model-0000x-of-00002.safetensors",
        "model-of-.safetensors", "model--of-.safetensors", "my-model-00001-of-00002.safetensors",
        "model-00001-of-.safetensors", "optimizer.safetensors"}) {
    INFO(name);
    CHECK_FALSE(is_weights_name(name));
  }
}

}  // namespace
}  // namespace cuclip::test
