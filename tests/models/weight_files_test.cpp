#include "models/files/weight_files.h"

#include <sys/resource.h>

#include <catch2/catch.hpp>
#include <cstring>
#include <nlohmann/json.hpp>

#include "tests/support/buffer.h"
#include "tests/support/command.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using nlohmann::json;
namespace fs = std::filesystem;

using Values = std::map<std::string, std::vector<float>>;

// Tensors a, b, c and d in two shards, and what lists them.
struct Shards {
  Shards() {
    for (const char* name : {"a", "b", "c", "d"}) {
      for (int i = 0; i < 5; ++i) values[name].push_back(static_cast<float>(rng()() % 1000));
    }
    write("m-00001-of-00002.safetensors", {"a", "c"});
    write("m-00002-of-00002.safetensors", {"b", "d"});
    for (const char* name : {"a", "c"}) index["weight_map"][name] = "m-00001-of-00002.safetensors";
    for (const char* name : {"b", "d"}) index["weight_map"][name] = "m-00002-of-00002.safetensors";
  }
  fs::path write(const std::string& file, const std::vector<std::string>& names) {
    std::vector<std::pair<std::string, TensorView>> tensors;
    for (const std::string& name : names) tensors.emplace_back(name, make_view(values[name].data(), {5}));
    write_safetensors(folder / file, tensors);
    return folder / file;
  }
  std::string write_index(const std::string& text) const {
    return folder.write("m.safetensors.index.json", text);
  }
  void check_refused(const std::vector<std::string>& mentions) const {
    check_refused(index.dump(), mentions);
  }
  void check_refused(const std::string& text, const std::vector<std::string>& mentions) const {
    const std::string path = write_index(text);
    try {
      const WeightFiles files(path);
      FAIL("nothing was thrown");
    } catch (const InputError& error) {
      CHECK_THAT(error.what(), Contains(path));
      for (const std::string& mention : mentions) CHECK_THAT(error.what(), Contains(mention));
    }
  }

  TemporaryFolder folder;
  Values values;
  json index{{"metadata", {{"total_size", 80}}}, {"weight_map", json::object()}};
};

Values read_all(const WeightFiles& files) {
  Values values;
  for (const auto& [name, stored] : files.tensors()) {
    std::vector<float>& out = values[name];
    out.resize(static_cast<size_t>(stored.entry.elements()));
    stored.read(stored.open(), name, 0, out);
  }
  return values;
}

TEST_CASE_METHOD(Shards, "the tensors of all shards are there, each from its own file") {
  const std::string path = write_index(index.dump());
  CHECK(read_all(WeightFiles(path)) == values);
  CHECK(weight_file_paths(path) == std::vector<fs::path>{folder / "m-00001-of-00002.safetensors",
                                                         folder / "m-00002-of-00002.safetensors"});
  const fs::path one = write("one.safetensors", {"a", "b", "c", "d"});
  CHECK(read_all(WeightFiles(one)) == values);
  CHECK(weight_file_paths(one) == std::vector<fs::path>{one});
}

TEST_CASE_METHOD(Shards, "shards may be links, as in the cache of Hugging Face's hub") {
  fs::create_directory(folder / "blobs");
  const fs::path shard = folder / "m-00002-of-00002.safetensors";
  fs::rename(shard, folder / "blobs/0123");
  fs::create_symlink("blobs/0123", shard);
  CHECK(read_all(WeightFiles(write_index(index.dump()))) == values);
}

TEST_CASE_METHOD(Shards, "an index and shards that do not have the same tensors are refused") {
  const std::string first = "m-00001-of-00002.safetensors", second = "m-00002-of-00002.safetensors";
  SECTION("a shard is missing") {
    fs::remove(folder / second);
    check_refused({second, "No such file"});
  }
  SECTION("a shard is truncated") {
    fs::resize_file(folder / second, fs::file_size(folder / second) - 1);
    check_refused({second, "truncated"});
  }
  SECTION("a shard is pickled") {
    folder.write(second, "PK\x03\x04 pickled");
    check_refused({second, "pickled"});
  }
  SECTION("a shard lacks what the index promises") {
    write(second, {"b"});
    check_refused({"expected d in ", second, "does not have it"});
  }
  SECTION("a tensor is in the other shard") {
    write(first, {"a"});
    write(second, {"b", "c", "d"});
    check_refused({"expected c in ", first, "found it in", second});
  }
  SECTION("a tensor is in two shards") {
    write(second, {"a", "b", "d"});
    check_refused({"a is in two files", first, second});
  }
  SECTION("the index does not list a tensor") {
    values["surplus"].resize(5);
    write(second, {"b", "d", "surplus"});
    check_refused({second, "surplus", "does not list"});
  }
}

TEST_CASE_METHOD(Shards, "an index that names files elsewhere is refused, whether or not they are there") {
  const fs::path outside = write("outside.safetensors", {"d"});
  fs::create_directory(folder / "inside");
  fs::copy(outside, folder / "inside/d.safetensors");
  for (const std::string& name :
       {std::string("../x.safetensors"), outside.string(), std::string("inside/d.safetensors"),
        std::string("./outside.safetensors"), std::string(".."), std::string("."), std::string(),
        std::string("outside.safetensors\0.x", 22)}) {
    index["weight_map"]["d"] = name;
    check_refused({"the file of d is", "in the index's own folder"});
    CHECK_THROWS_AS(weight_file_paths(folder / "m.safetensors.index.json"), InputError);
  }
  index["weight_map"]["d"] = 3;
  check_refused({"the file of d is 3"});
}

TEST_CASE_METHOD(Shards, "a damaged index is refused") {
  check_refused("not JSON", {"not JSON"});
  check_refused(index.dump().substr(0, 40), {"not JSON"});
  check_refused("[]", {"JSON object"});
  check_refused("{}", {"weight_map", "none"});
  check_refused(R"({"weight_map": {}})", {"weight_map", "{}"});
  check_refused(R"({"weight_map": ["a"]})", {"weight_map", "[\"a\"]"});
  check_refused(R"({"weight_map": {"a": "x", "a": "y"}})", {"\"a\" twice"});
  check_refused(R"({"weight_map": {"a": "x"}, "weight_map": {"b": "x"}})", {"\"weight_map\" twice"});
}

TEST_CASE_METHOD(Shards, "a file that changes after it was opened is noticed") {
  const fs::path path = write("one.safetensors", {"a", "b"});
  const WeightFiles files(path);
  CHECK_NOTHROW(files.check_unchanged());
  std::vector<float> out(5);
  const WeightFiles::Stored& b = files.tensors().at("b");
  SECTION("truncated while a tensor is read") {
    const InputFile opened = b.open();
    fs::resize_file(path, fs::file_size(path) - 4);
    CHECK_THROWS_WITH(b.read(opened, "b", 0, out), Contains(path) && Contains("found 16"));
    CHECK_THROWS_WITH(files.check_unchanged(), Contains(path) && Contains("changed"));
  }
  SECTION("longer") {
    fs::resize_file(path, fs::file_size(path) + 1);
    CHECK_THROWS_WITH(files.check_unchanged(), Contains(path) && Contains("changed"));
  }
  SECTION("written at another time") {
    fs::last_write_time(path, fs::last_write_time(path) + std::chrono::nanoseconds(1));
    CHECK_THROWS_WITH(files.check_unchanged(), Contains(path) && Contains("changed"));
  }
  SECTION("removed") {
    fs::remove(path);
    CHECK_THROWS_WITH(files.check_unchanged(), Contains(path) && Contains("No such file"));
  }
  SECTION("replaced") {
    const InputFile opened = b.open();
    const fs::file_time_type before = fs::last_write_time(path);
    write("one.safetensors", {"a", "b"});
    fs::last_write_time(path, before + std::chrono::seconds(1));  // the clock may not have moved on by itself
    b.read(opened, "b", 0, out);                                  // a tensor is of one file
    CHECK(out == values["b"]);
    CHECK_THROWS_WITH(b.open(), Contains(path) && Contains("changed"));
  }
}

TEST_CASE_METHOD(Shards, "there may be more shards than a process may have files open") {
  constexpr int kShards = 40;
  index["weight_map"].clear();
  values.clear();
  for (int i = 0; i < kShards; ++i) {
    const std::string name = "t" + std::to_string(i);
    values[name] = std::vector<float>(5, static_cast<float>(i));
    index["weight_map"][name] = name + ".safetensors";
    write(name + ".safetensors", {name});
  }
  const std::string path = write_index(index.dump());
  rlimit before{};
  REQUIRE(::getrlimit(RLIMIT_NOFILE, &before) == 0);
  rlimit few = before;
  few.rlim_cur = kShards / 2;
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &few) == 0);
  Values found;
  CHECK_NOTHROW(found = read_all(WeightFiles(path)));
  REQUIRE(::setrlimit(RLIMIT_NOFILE, &before) == 0);
  CHECK(found == values);
}

// The most memory that this process has used at once, in bytes, including the pages of mapped files.
size_t peak_memory() {
  rusage usage{};
  REQUIRE(::getrusage(RUSAGE_SELF, &usage) == 0);
  return static_cast<size_t>(usage.ru_maxrss) * 1024;
}

TEST_CASE("opening takes no memory for the values, and reading only the caller's") {
  constexpr int64_t kValues = int64_t{1} << 28;
  const TemporaryFolder folder;
  const std::string header =
      R"({"x": {"dtype": "F32", "shape": [268435456], "data_offsets": [0, 1073741824]}})";
  const uint64_t size = header.size();
  std::string bytes(8, '\0');
  std::memcpy(bytes.data(), &size, 8);
  const fs::path path = folder.write("large.safetensors", bytes + header);
  fs::resize_file(path, bytes.size() + header.size() + kValues * 4);  // a hole: it takes no room
  const size_t before = peak_memory();
  const WeightFiles files(path);
  const InputFile opened = files.tensors().at("x").open();
  std::vector<float> out(1 << 18, 1.0f);
  for (int64_t first = 0; first < kValues; first += std::ssize(out))
    files.tensors().at("x").read(opened, "x", first, out);
  CHECK(out == std::vector<float>(out.size()));
  CHECK(peak_memory() - before < kValues / 4);
}

}  // namespace
}  // namespace cuclip::test
