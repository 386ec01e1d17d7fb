#include "models/clip/modified_resnet.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

#include "core/file_io.h"
#include "models/clip/clip.h"
#include "models/clip/weights.h"
#include "models/files/safetensors.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/random_pairs.h"
#include "tests/support/tiny_model.h"

using namespace cuclip;

namespace {

struct Fixture {
  explicit Fixture(const ClipOptions& options = {.training = true}) : model(context, config, options) {
    test::randomise(model);
  }

  std::vector<float> statistics() const { return test::statistics(model); }
  std::vector<float> encode(BatchStatistics statistics, Tape::Mode mode = Tape::Mode::record) {
    Tape tape(context, mode);
    return model.encode_image(tape, images, Tensor(), statistics).to_floats();
  }

  Context context{2};
  ClipConfig config = test::tiny_resnet_config();
  ClipModel model;
  Tensor images = test::random_images(context, config, 3);
};

}  // namespace

TEST_CASE("a batch that is computed again gives the same bits and is not counted again") {
  Fixture f;
  const std::vector<float> fresh = f.statistics();
  const std::vector<float> first = f.encode(BatchStatistics::of_batch, Tape::Mode::inference);
  const std::vector<float> counted = f.statistics();
  CHECK(counted != fresh);
  CHECK(f.encode(BatchStatistics::of_batch_again) == first);
  CHECK(f.statistics() == counted);
  CHECK(f.encode(BatchStatistics::running, Tape::Mode::inference) != first);
  CHECK(f.statistics() == counted);
}

TEST_CASE("a ResNet encodes a picture alone as it does among others") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    Fixture f(ClipOptions{.dtype = dtype});
    const std::vector<float> together = f.encode(BatchStatistics::running, Tape::Mode::inference);
    const size_t each = together.size() / 3;
    const Tensor images = f.images;
    for (size_t i = 0; i < 3; ++i) {
      f.images = images.rows(static_cast<int64_t>(i), 1);
      const std::vector<float> alone = f.encode(BatchStatistics::running, Tape::Mode::inference);
      REQUIRE(alone.size() == each);
      // Of unit length; other tasks may add in another order, which in bf16 a rounding may enlarge.
      for (size_t k = 0; k < each; ++k) {
        REQUIRE(alone[k] == Approx(together[i * each + k]).margin(dtype == DType::f32 ? 1e-5 : 2e-2));
      }
    }
  }
}

TEST_CASE("a ResNet whose weights are fixed computes the same bits, pass after pass") {
  Fixture f(ClipOptions{});
  const std::vector<float> before = f.encode(BatchStatistics::running, Tape::Mode::inference);
  f.model.fix_weights();
  CHECK_THROWS_WITH(f.model.initialise(1), Catch::Contains("have been fixed"));
  for (int pass = 0; pass < 2; ++pass) {
    CHECK(f.encode(BatchStatistics::running, Tape::Mode::inference) == before);
  }
}

TEST_CASE("a locked ResNet goes by its running statistics and leaves them alone") {
  Fixture f(ClipOptions{.training = true, .lock_image = true});
  const std::vector<float> fresh = f.statistics();
  const std::vector<float> used = f.encode(BatchStatistics::running, Tape::Mode::inference);
  CHECK(f.encode(BatchStatistics::of_batch) == used);
  CHECK(f.statistics() == fresh);
}

TEST_CASE("a ResNet's weights survive being saved and loaded, and are in PyTorch's order in the file") {
  Fixture f{ClipOptions{}}, other{ClipOptions{}};
  test::TemporaryFolder folder;
  save_weights(f.model, folder / "model.safetensors");
  load_weights(other.model, folder / "model.safetensors");
  CHECK(other.model.parameters().values().to_floats() == f.model.parameters().values().to_floats());

  const Safetensors file = Safetensors::open(folder / "model.safetensors");
  const SafetensorsEntry* filters = file.find("visual.layer2.0.conv2.weight");
  REQUIRE(filters);
  CHECK(filters->describe() == "F32 [8, 8, 3, 3]");
  std::vector<float> theirs(static_cast<size_t>(filters->elements()));
  copy_to_f32(*filters, "filters", theirs);
  const std::vector<float> ours =
      f.model.parameters().get("visual.layer2.0.conv2.weight").value.to_floats();  // [8, 3, 3, 8]
  CHECK(theirs[((5 * 8 + 6) * 3 + 1) * 3 + 2] == ours[((5 * 3 + 1) * 3 + 2) * 8 + 6]);
  CHECK(file.find("visual.layer1.0.downsample.1.running_var"));
  CHECK(file.find("visual.attnpool.k_proj.weight")->describe() == "F32 [128, 128]");
  CHECK_FALSE(file.find("visual.attnpool.kv_proj.weight"));
}

TEST_CASE("how many batches PyTorch has counted is passed over beside a norm's statistics") {
  Fixture f{ClipOptions{}}, other{ClipOptions{}};
  test::TemporaryFolder folder;
  const auto load = [&](const std::string& name, const std::string& description) {
    std::vector<std::pair<std::string, TensorView>> tensors;
    const std::vector<StoredTensor> stored = stored_tensors(f.model, WeightNames::open_clip);
    for (const StoredTensor& tensor : stored) tensors.emplace_back(tensor.name, tensor.value.view());
    std::vector<int32_t> count(2);
    tensors.emplace_back(name, make_view(count.data(), {2}));
    write_safetensors(folder / "model.safetensors", tensors);
    std::string bytes = read_file(folder / "model.safetensors");
    const std::string start = '"' + name + "\":{", written = R"("dtype":"I32","shape":[2])";
    REQUIRE(description.size() == written.size());
    const size_t at = bytes.find(start + written);
    REQUIRE(at != bytes.npos);
    folder.write("model.safetensors", bytes.replace(at + start.size(), written.size(), description));
    load_weights(other.model, folder / "model.safetensors");
  };
  const std::string as_pytorch = R"("dtype":"I64","shape":[ ])";
  CHECK_NOTHROW(load("visual.layer1.0.bn2.num_batches_tracked", as_pytorch));
  CHECK(other.model.parameters().values().to_floats() == f.model.parameters().values().to_floats());
  for (const std::string name : {"foo.num_batches_tracked", "visual.conv1.num_batches_tracked",
                                 "visual.attnpool.num_batches_tracked", "num_batches_tracked"}) {
    CHECK_THROWS_WITH(load(name, as_pytorch), Catch::Contains("not expected: " + name + " I64 []"));
  }
  CHECK_THROWS_WITH(load("visual.bn1.num_batches_tracked", R"("dtype":"F32","shape":[2])"),
                    Catch::Contains("not expected: visual.bn1.num_batches_tracked F32 [2]"));
}

TEST_CASE("the one tap of a filter is saved from where it lies") {
  Fixture f{ClipOptions{}};
  const std::vector<StoredTensor> stored = stored_tensors(f.model, WeightNames::open_clip);
  int filters = 0;
  for (const StoredTensor& tensor : stored) {
    if (!tensor.name.ends_with("conv1.weight") && !tensor.name.ends_with("downsample.0.weight")) continue;
    const Parameter& parameter = f.model.parameters().get(tensor.name);
    if (parameter.shape[1] > 1) continue;
    ++filters;
    CHECK(tensor.value.shape() == Shape{parameter.shape[0], parameter.shape[3], 1, 1});
    CHECK(tensor.value.view().data == parameter.value.view().data);
  }
  CHECK(filters >= 8);
}

TEST_CASE("a file with a variance below zero is refused") {
  Fixture f{ClipOptions{}}, other{ClipOptions{}};
  test::TemporaryFolder folder;
  const std::filesystem::path path = folder / "model.safetensors";
  save_weights(f.model, path);
  const Safetensors saved = Safetensors::open(path);
  std::map<std::string, std::vector<float>> values;
  std::vector<std::pair<std::string, TensorView>> tensors;
  const auto write = [&] {
    tensors.clear();
    for (auto& [name, of] : values) {
      const SafetensorsEntry* entry = saved.find(name);
      const Shape shape = entry ? Shape(std::span<const int64_t>(entry->shape)) : Shape{};
      tensors.emplace_back(name, make_view(of.data(), shape));
    }
    write_safetensors(folder / "other.safetensors", tensors);
    load_weights(other.model, folder / "other.safetensors");
  };
  for (const auto& [name, entry] : saved.tensors()) {
    values[name].resize(static_cast<size_t>(entry.elements()));
    copy_to_f32(entry, name, values[name]);
  }
  CHECK_NOTHROW(write());
  CHECK(other.model.parameters().values().to_floats() == f.model.parameters().values().to_floats());
  values["visual.bn2.running_var"][1] = -0.5f;
  CHECK_THROWS_WITH(write(), Catch::Contains("value 1 of visual.bn2.running_var is -0.5; a variance is at"));
  values["visual.bn2.running_var"][1] = 0.5f;
  values["logit_scale"] = {89.0f};
  CHECK_THROWS_WITH(write(), Catch::Contains("logit_scale is 89, and e^89 is not finite"));
  values.erase("visual.bn2.running_var");
  CHECK_THROWS_WITH(write(), Catch::Contains("missing: visual.bn2.running_var [2]"));
}

TEST_CASE("one picture that becomes one place is refused in training, with what to do") {
  Context context(1);
  ClipConfig config = test::tiny_resnet_config();
  config.vision.image_size = 32;
  ClipModel model(context, config, {.training = true});
  test::randomise(model);
  const auto encode = [&](int64_t pictures, BatchStatistics statistics) {
    Tape tape(context, Tape::Mode::inference);
    return model.encode_image(tape, test::random_images(context, config, pictures), Tensor(), statistics);
  };
  for (const BatchStatistics statistics : {BatchStatistics::of_batch, BatchStatistics::of_batch_again}) {
    CHECK_THROWS_WITH(encode(1, statistics), Catch::StartsWith("modified ResNet: a batch of one picture") &&
                                                 Catch::Contains("use a larger batch"));
    CHECK_NOTHROW(encode(2, statistics));
  }
  CHECK_NOTHROW(encode(1, BatchStatistics::running));
}

TEST_CASE("a ResNet that is recomputed has the same gradients and statistics, and keeps no part's insides") {
  ClipConfig config = test::tiny_resnet_config();
  config.vision.image_size = 128;  // the stem's results are most of it
  const int64_t pictures = 3;
  std::vector<float> gradients[2], statistics[2];
  size_t kept[2];
  const uint64_t seed = test::rng()();
  for (const bool recomputation : {false, true}) {
    test::rng().seed(seed);
    Context context(2);
    ClipModel model(context, config, {.training = true, .recomputation = recomputation});
    test::randomise(model);
    const Tensor images = test::random_images(context, config, pictures);
    const size_t before = context.allocator().statistics().bytes_in_use;
    Tape tape(context);
    const Tensor features = model.encode_image(tape, images, Tensor(), BatchStatistics::of_batch);
    kept[recomputation] = context.allocator().statistics().bytes_in_use - before;
    const Tape::Seed seed_of_features{features, Tensor::full(context, features.shape(), 1.0f)};
    tape.backward(std::span(&seed_of_features, 1));
    gradients[recomputation] = model.parameters().gradients().to_floats();
    statistics[recomputation] = test::statistics(model);
  }
  CHECK(gradients[1] == gradients[0]);
  CHECK(statistics[1] == statistics[0]);
  // Results of the stem's three convolutions and norms, of width / 2, width / 2 and width channels.
  const auto stem = static_cast<size_t>(pictures * 64 * 64 * 4 * config.vision.width) * sizeof(float);
  CHECK(kept[0] > stem);
  CHECK(kept[1] < stem);
}

TEST_CASE("tokens cannot be left out of a ResNet's pictures") {
  Fixture f;
  Tape tape(f.context);
  const Tensor kept = Tensor::zeros(f.context, {3, 1}, DType::i32);
  CHECK_THROWS_WITH(f.model.encode_image(tape, f.images, kept, BatchStatistics::of_batch),
                    "modified ResNet: there are no tokens to leave out");
}

// model.py and modified_resnet.py of open_clip: PyTorch's default for convolutions (uniform, 1/√fan-in), ones
// and zeros for norms but zeros for the last scale of each block, and the pooling's q, k, v and c of
// deviation C^-1/2.
TEST_CASE("a fresh ResNet is initialised as open_clip initialises it") {
  Context context(2);
  ClipConfig config = test::tiny_resnet_config();
  config.vision.width = 16;  // enough values for their deviation
  ClipModel model(context, config);
  model.initialise(test::rng()());
  const double channels = config.vision.attention_width();
  int last_scales = 0;
  for (const Parameter& p : model.parameters().parameters()) {
    if (!p.name.starts_with("visual.")) continue;
    const std::vector<float> values = p.value.to_floats();
    double most = 0, square = 0;
    for (const float v : values) {
      most = std::max(most, std::abs(double{v}));
      square += double{v} * double{v};
    }
    const double deviation = std::sqrt(square / static_cast<double>(values.size()));
    INFO(p.name << ": deviation " << deviation << ", at most " << most);
    const auto all = [&](float value) { return values == std::vector<float>(values.size(), value); };
    const auto strays = [&](double sigmas) { return sigmas / std::sqrt(static_cast<double>(values.size())); };
    if (p.name.find(".layer") != p.name.npos && p.name.ends_with("bn3.weight")) {
      CHECK(all(0));
      ++last_scales;
    } else if (p.role == ParameterRole::norm || p.role == ParameterRole::statistic) {
      CHECK(all(p.name.ends_with("weight") || p.name.ends_with("var") ? 1 : 0));
    } else if (p.role == ParameterRole::filters) {
      const double limit = 1 / std::sqrt(static_cast<double>(p.shape.elements() / p.shape[0]));
      CHECK(most <= limit);
      CHECK(deviation == Approx(limit / std::sqrt(3)).epsilon(strays(3)));
    } else if (p.role == ParameterRole::bias) {
      CHECK(most <= 1 / std::sqrt(channels));
      CHECK(most > 0.5 / std::sqrt(channels));
    } else {
      CHECK(deviation == Approx(1 / std::sqrt(channels)).epsilon(strays(5)));
    }
  }
  CHECK(last_scales == 5);
}
