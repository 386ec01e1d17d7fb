// labels: threads
#include "models/clip/weights.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <fstream>
#include <limits>
#include <set>

#include "models/clip/position_resample.h"
#include "models/files/safetensors.h"
#include "models/files/weight_files.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Catch::StartsWith;
using Tensors = std::vector<std::pair<std::string, TensorView>>;

bool same_weights(const ClipModel& a, const ClipModel& b) {
  return a.parameters().values().to_floats() == b.parameters().values().to_floats();
}

// The file's tensors, to be changed and written again.
struct EditableFile {
  explicit EditableFile(const Safetensors& file) {
    for (const auto& [name, entry] : file.tensors()) {
      std::vector<float> values(static_cast<size_t>(entry.elements()));
      copy_to_f32(entry, name, values);
      add(name, Shape(std::span<const int64_t>(entry.shape)), values);
    }
  }
  void add(const std::string& name, const Shape& shape, std::vector<float> v) {
    values[name] = std::move(v);
    shapes[name] = shape;
  }
  void remove(const std::string& name) {
    REQUIRE(values.erase(name) == 1);
    shapes.erase(name);
  }
  void write(const std::filesystem::path& path, const std::string& prefix = "") {
    Tensors tensors;
    for (auto& [name, v] : values) tensors.emplace_back(prefix + name, make_view(v.data(), shapes[name]));
    write_safetensors(path, tensors);
  }
  std::map<std::string, std::vector<float>> values;
  std::map<std::string, Shape> shapes;
};

struct Fixture {
  Fixture() { randomise(model); }
  std::filesystem::path saved(WeightNames names = WeightNames::open_clip) {
    save_weights(model, path, {}, names);
    return path;
  }
  EditableFile editable(WeightNames names = WeightNames::open_clip) {
    return EditableFile(Safetensors::open(saved(names)));
  }

  Context context{1};
  ClipModel model{context, tiny_config()};
  ClipModel other{context, tiny_config()};
  TemporaryFolder folder;
  std::filesystem::path path = folder / "model.safetensors";
};

TEST_CASE_METHOD(Fixture, "weights that were saved load to the same bits under either convention") {
  for (const WeightNames names : {WeightNames::open_clip, WeightNames::hugging_face}) {
    randomise(other);
    load_weights(other, saved(names));
    CHECK(same_weights(model, other));
  }
}

TEST_CASE_METHOD(Fixture, "the file has open_clip's names and the given metadata") {
  save_weights(model, path, {{"step", "12"}});
  const Safetensors file = Safetensors::open(path);
  CHECK(file.tensors().size() == model.parameters().parameters().size());
  REQUIRE(file.find("visual.transformer.resblocks.1.attn.in_proj_weight"));
  CHECK(file.find("visual.transformer.resblocks.1.attn.in_proj_weight")->describe() == "F32 [48, 16]");
  CHECK(file.find("logit_scale")->describe() == "F32 []");
  CHECK(file.metadata().at("step") == "12");
}

TEST_CASE_METHOD(Fixture,
                 "queries, keys and values are apart in transformers' files and projections transposed") {
  EditableFile file = editable(WeightNames::hugging_face);
  const float* qkv =
      model.parameters().get("transformer.resblocks.2.attn.in_proj_weight").value.data<float>();
  const auto& key = file.values.at("text_model.encoder.layers.2.self_attn.k_proj.weight");
  CHECK(std::equal(key.begin(), key.end(), qkv + 24 * 24));
  const float* ours = model.parameters().get("text_projection").value.data<float>();  // [24, 10]
  const auto& theirs = file.values.at("text_projection.weight");
  CHECK(file.shapes.at("text_projection.weight") == Shape{10, 24});
  CHECK(theirs[3 * 24 + 5] == ours[5 * 10 + 3]);
  CHECK(file.values.contains("vision_model.pre_layrnorm.bias"));
}

TEST_CASE_METHOD(Fixture, "prefixes of training wrappers and tensors that are not weights are passed over") {
  for (const std::string prefix : {"module.", "state_dict.", "state_dict.module.", "model."}) {
    EditableFile file = editable();
    file.add("input_resolution", {}, {224});
    file.add("context_length", {}, {77});
    file.add("attn_mask", {2, 2}, {0, 0, 0, 0});
    file.write(path, prefix);
    randomise(other);
    load_weights(other, path);
    CHECK(same_weights(model, other));
  }
  EditableFile file = editable(WeightNames::hugging_face);
  file.add("vision_model.embeddings.position_ids", {1, 10}, std::vector<float>(10));
  file.write(path);
  load_weights(other, path);
  CHECK(same_weights(model, other));
}

TEST_CASE_METHOD(Fixture, "what is only called like a tensor that is passed over is not expected") {
  for (const std::string name : {"anything_attn_mask", "visual.attn_mask", "x.position_ids", "vocab_size2",
                                 "foo.num_batches_tracked", "ln_final.num_batches_tracked"}) {
    EditableFile file = editable();
    file.add(name, {}, {0});
    file.write(path);
    CHECK_THROWS_WITH(load_weights(other, path), Contains("not expected: " + name + " F32 []"));
  }
}

TEST_CASE_METHOD(Fixture,
                 "a text tower under \"text.\", as open_clip's CustomTextCLIP has it, is recognised") {
  for (const std::string prefix : {"", "module."}) {
    const EditableFile plain = editable();
    EditableFile file = plain;
    for (const auto& [name, values] : plain.values) {
      if (name == "logit_scale" || name.starts_with("visual.")) continue;
      file.remove(name);
      file.add("text." + name, plain.shapes.at(name), values);
    }
    REQUIRE(file.values.contains("text.text_projection"));
    file.write(path, prefix);
    randomise(other);
    load_weights(other, path);
    CHECK(same_weights(model, other));
  }
}

TEST_CASE_METHOD(Fixture, "a temperature of shape [1] is taken as a scalar") {
  EditableFile file = editable();
  file.shapes["logit_scale"] = Shape{1};
  file.write(path);
  load_weights(other, path);
  CHECK(same_weights(model, other));
}

TEST_CASE_METHOD(Fixture, "weights stored in bf16 load as their f32 values") {
  EditableFile file = editable();
  for (auto& [name, values] : file.values) {
    for (float& v : values) v = static_cast<float>(bfloat16(v));
  }
  std::map<std::string, std::vector<bfloat16>> low;
  Tensors tensors;
  for (const auto& [name, values] : file.values) {
    for (const float v : values) low[name].push_back(bfloat16(v));
    tensors.emplace_back(name, make_view(low[name].data(), file.shapes[name]));
  }
  write_safetensors(path, tensors);
  load_weights(other, path);
  for (const Parameter& parameter : other.parameters().parameters()) {
    CHECK(parameter.value.to_floats() == file.values.at(parameter.name));
  }
}

TEST_CASE_METHOD(Fixture, "one message lists what is missing, of another shape and not expected") {
  EditableFile file = editable();
  file.remove("visual.proj");
  file.remove("ln_final.bias");
  file.add("token_embedding.weight", {3, 24}, std::vector<float>(72));
  file.add("visual.surplus", {2}, {1, 2});
  file.write(path);
  try {
    load_weights(other, path);
    FAIL("nothing was thrown");
  } catch (const InputError& error) {
    CHECK_THAT(error.what(), Contains("model.safetensors") && Contains("visual.proj [16, 10]") &&
                                 Contains("ln_final.bias [24]") &&
                                 Contains("token_embedding.weight (expected [519, 24], found F32 [3, 24])") &&
                                 Contains("visual.surplus F32 [2]"));
  }
}

TEST_CASE_METHOD(Fixture, "a long list of misfits is cut") {
  write_safetensors(path, {});
  CHECK_THROWS_WITH(load_weights(other, path), Contains(" more") && Contains("missing"));
}

TEST_CASE_METHOD(Fixture, "weights that are not finite are refused by name") {
  for (const float bad : {std::numeric_limits<float>::quiet_NaN(), -std::numeric_limits<float>::infinity()}) {
    for (const std::string name : {"logit_scale", "visual.transformer.resblocks.1.mlp.c_fc.weight"}) {
      EditableFile file = editable();
      file.values.at(name).back() = bad;
      file.write(path);
      CHECK_THROWS_WITH(load_weights(other, path), Contains(name) && Contains("finite"));
    }
  }
}

// The token embedding is read in several pieces, on several threads.
ClipConfig large_vocabulary() {
  ClipConfig config = tiny_config();
  config.text.vocab_size = 40013;
  return config;
}

TEST_CASE("large tensors load to the same bits on several threads, straight to where they belong") {
  Context one(1), three(3);
  ClipModel model(one, large_vocabulary());
  randomise(model);
  const TemporaryFolder folder;
  save_weights(model, folder / "w");
  ClipModel other(three, large_vocabulary(), {.unset = true});
  load_weights(other, folder / "w");
  CHECK(same_weights(model, other));
  const CachingAllocator::Statistics memory = three.allocator().statistics();
  CHECK(memory.peak_in_use == memory.bytes_in_use);
}

TEST_CASE_METHOD(Fixture, "weights that do not fit are refused before the model has memory") {
  ClipConfig config = tiny_config();
  config.text.width = 16384;  // many gigabytes
  config.text.heads = 4;
  ClipModel large(context, config, {.unset = true});
  context.allocator().reset_peak();
  const size_t before = context.allocator().statistics().peak_in_use;
  CHECK_THROWS_WITH(load_weights(large, saved(), "x.json"),
                    StartsWith(path.string() + ": the weights do not fit the model that x.json describes.") &&
                        Contains("transformer.resblocks.0.ln_2.bias (expected [16384], found F32 [24])"));
  CHECK(context.allocator().statistics().peak_in_use == before);
}

TEST_CASE("of several weights that are not finite the first is named, whichever thread sees it") {
  Context context(3);
  ClipModel model(context, large_vocabulary());
  const TemporaryFolder folder;
  float* values = model.parameters().get("token_embedding.weight").value.data<float>();
  const int64_t last = 40013 * 24 - 1, first = last - 1 - static_cast<int64_t>(rng()() % 700000);
  values[first] = std::numeric_limits<float>::infinity();
  values[last] = std::numeric_limits<float>::quiet_NaN();
  save_weights(model, folder / "w");
  CHECK_THROWS_WITH(load_weights(model, folder / "w"),
                    Contains(fmt::format("weight {} of token_embedding.weight is inf", first)));
}

TEST_CASE_METHOD(Fixture, "weights of a file that changes while they are loaded are refused") {
  for (const int64_t more : {-1, 1}) {
    const WeightFiles files(saved());
    std::filesystem::resize_file(
        path, static_cast<uintmax_t>(static_cast<int64_t>(std::filesystem::file_size(path)) + more));
    CHECK_THROWS_WITH(load_weights(other, files), Contains(path.string()));
  }
}

TEST_CASE_METHOD(Fixture, "once they are loaded, weights have nothing to do with the file") {
  load_weights(other, saved());
  {
    std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
    file << std::string(std::filesystem::file_size(path), '\xff');
  }
  CHECK(same_weights(model, other));
  std::filesystem::resize_file(path, 0);
  CHECK(same_weights(model, other));
}

TEST_CASE_METHOD(Fixture, "tensors of integers are refused as weights") {
  EditableFile file = editable();
  std::vector<int32_t> whole(file.values.at("ln_final.bias").size());
  file.remove("ln_final.bias");
  Tensors tensors{{"ln_final.bias", make_view(whole.data(), {24})}};
  for (auto& [name, v] : file.values) tensors.emplace_back(name, make_view(v.data(), file.shapes[name]));
  write_safetensors(path, tensors);
  CHECK_THROWS_WITH(load_weights(other, path), Contains("ln_final.bias") && Contains("I32"));
}

TEST_CASE_METHOD(Fixture, "two tensors that differ only by a prefix are refused") {
  EditableFile file = editable();
  file.add("module.logit_scale", {}, {1});
  file.write(path);
  CHECK_THROWS_WITH(load_weights(other, path), Contains("logit_scale"));
}

TEST_CASE_METHOD(Fixture, "pickled files are refused with a hint") {
  for (const std::string head : {"PK\x03\x04 and more of a zip", "\x80\x02}q\x01(X and more of a pickle"}) {
    folder.write("model.pt", head);
    CHECK_THROWS_WITH(load_weights(other, folder / "model.pt"), Contains("save_file"));
  }
}

TEST_CASE_METHOD(Fixture, "position embeddings of another resolution are resampled") {
  ClipModel larger(context, tiny_config(24));
  CHECK(load_weights(other, saved()).empty());
  const std::vector<std::string> notes = load_weights(larger, saved());
  REQUIRE(notes.size() == 1);
  CHECK_THAT(notes[0], StartsWith(path.string() + ": position embeddings resampled from 3 x 3 to 6 x 6: "));
  const float* from = model.parameters().get("visual.positional_embedding").value.data<float>();
  std::vector<float> expected(37 * 16);
  resample_positions(from, 3, expected.data(), 6, 16);
  CHECK(larger.parameters().get("visual.positional_embedding").value.to_floats() == expected);
  CHECK(larger.parameters().get("visual.proj").value.to_floats() ==
        model.parameters().get("visual.proj").value.to_floats());
}

TEST_CASE("resampling keeps the class token, constants and, at the same size, everything") {
  const int64_t width = 3;
  std::vector<float> in((1 + 5 * 5) * width);
  for (float& v : in) v = static_cast<float>(rng()() % 1000);
  std::vector<float> same(in.size());
  resample_positions(in.data(), 5, same.data(), 5, width);
  CHECK(same == in);
  for (size_t i = width; i < in.size(); ++i) in[i] = static_cast<float>(i % width);
  for (const int64_t to : {1, 2, 4, 9, 16}) {
    std::vector<float> out(static_cast<size_t>((1 + to * to) * width));
    resample_positions(in.data(), 5, out.data(), to, width);
    CHECK(std::equal(out.begin(), out.begin() + width, in.begin()));
    for (size_t i = width; i < out.size(); ++i) CHECK(out[i] == Approx(i % width).margin(1e-6));
  }
}

// tests/tools/record_positions.py wrote what torch.nn.functional.interpolate gives.
TEST_CASE("resampling agrees with torch's antialiased bicubic interpolation") {
  const Safetensors recorded = Safetensors::open(test_data() + "/positions.safetensors");
  const auto values = [&](const std::string& name) {
    std::vector<float> v(static_cast<size_t>(recorded.find(name)->elements()));
    copy_to_f32(*recorded.find(name), name, v);
    return v;
  };
  for (const auto& [from, to] : {std::pair{7, 12}, {7, 3}, {4, 9}, {9, 4}, {1, 3}}) {
    const std::vector<float> in = values(fmt::format("in_{}", from));
    const std::vector<float> expected = values(fmt::format("out_{}_{}", from, to));
    std::vector<float> out(expected.size());
    resample_positions(in.data(), from, out.data(), to, 2);
    for (size_t i = 0; i < out.size(); ++i) {
      // torch works in f32: a few roundings of values below 4.
      CHECK(out[i] == Approx(expected[i]).margin(4e-6));
    }
  }
}

}  // namespace
}  // namespace cuclip::test
