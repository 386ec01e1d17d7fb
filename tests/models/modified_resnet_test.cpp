#include "models/clip/modified_resnet.h"

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>

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

  std::vector<float> statistics() const {
    std::vector<float> all;
    for (const Parameter& p : model.parameters().parameters()) {
      if (p.role != ParameterRole::statistic) continue;
      const std::vector<float> values = p.value.to_floats();
      all.insert(all.end(), values.begin(), values.end());
    }
    return all;
  }
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

TEST_CASE("a file with a variance below zero is refused, what PyTorch counts besides is passed over") {
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
  values["visual.bn1.num_batches_tracked"] = {7.0f};
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
