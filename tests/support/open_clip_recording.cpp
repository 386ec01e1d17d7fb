#include "tests/support/open_clip_recording.h"
#include "tests/support/paths.h"

#include <cstring>

namespace cuclip::test {
namespace {

std::string path_of(const std::string& file) { return test_data() + "/open_clip/" + file; }

Shape shape_of(const SafetensorsEntry& entry) { return Shape(std::span<const int64_t>(entry.shape)); }

}  // namespace

OpenClipRecording::OpenClipRecording(const std::string& name)
    : config_(load_clip_config(path_of(name + ".json"))),
      file_(Safetensors::open(path_of(name + ".safetensors"))) {}

const SafetensorsEntry& OpenClipRecording::entry(const std::string& name) const {
  const SafetensorsEntry* entry = file_.find(name);
  CUCLIP_CHECK(entry, "{}: no tensor {}", file_.file(), name);
  return *entry;
}

Tensor OpenClipRecording::images(Context& context) const {
  const SafetensorsEntry& stored = entry("input.images");
  Tensor images = Tensor::empty(context, shape_of(stored), DType::f32);
  copy_to_f32(stored, "images", std::span(images.data<float>(), static_cast<size_t>(images.elements())));
  return images;
}

Tensor OpenClipRecording::tokens(Context& context) const {
  const SafetensorsEntry& stored = entry("input.tokens");
  CUCLIP_CHECK(stored.dtype == "I32", "tokens: expected I32, found {}", stored.dtype);
  Tensor tokens = Tensor::empty(context, shape_of(stored), DType::i32);
  std::memcpy(tokens.data<int32_t>(), stored.data.data(), stored.data.size());
  return tokens;
}

std::vector<float> OpenClipRecording::values(const std::string& name) const {
  const SafetensorsEntry& stored = entry(name);
  std::vector<float> values(static_cast<size_t>(stored.elements()));
  copy_to_f32(stored, name, values);
  return values;
}

void OpenClipRecording::load_weights(Clip& model) const {
  size_t recorded = 0;
  for (const auto& [name, stored] : file_.tensors()) recorded += name.starts_with("weight.");
  CUCLIP_CHECK(recorded == model.parameters().parameters().size(),
               "open_clip has {} parameters, this model {}", recorded,
               model.parameters().parameters().size());
  for (Parameter& parameter : model.parameters().parameters()) {
    const SafetensorsEntry& stored = entry("weight." + parameter.name);
    CUCLIP_CHECK(shape_of(stored) == parameter.shape, "{}: expected {}, found {}", parameter.name,
                 parameter.shape.to_string(), stored.describe());
    copy_to_f32(stored, parameter.name,
                std::span(parameter.value.data<float>(), static_cast<size_t>(parameter.shape.elements())));
  }
  model.parameters().refresh_bf16(model.context());
}

}  // namespace cuclip::test
