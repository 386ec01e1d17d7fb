#include "tests/support/open_clip_recording.h"
#include "models/clip/weights.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"

#include <cstring>
#include <deque>

namespace cuclip::test {
namespace {

std::string path_of(const std::string& name) {
  return name.find('/') == name.npos ? test_data() + "/open_clip/" + name : name;
}

Shape shape_of(const SafetensorsEntry& entry) { return Shape(std::span<const int64_t>(entry.shape)); }

}  // namespace

OpenClipRecording::OpenClipRecording(const std::string& name_or_path)
    : config_(load_clip_config(path_of(name_or_path) + ".json")),
      file_(Safetensors::open(path_of(name_or_path) + ".safetensors")) {}

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

double OpenClipRecording::distance(const std::string& name) const {
  return std::stod(file_.metadata().at(name));
}

void OpenClipRecording::load(ClipModel& model, std::initializer_list<std::string_view> prefixes) const {
  std::deque<std::vector<float>> memory;
  std::vector<std::pair<std::string, TensorView>> tensors;
  for (const auto& [name, stored] : file_.tensors()) {
    for (const std::string_view prefix : prefixes) {
      if (!name.starts_with(prefix)) continue;
      memory.push_back(values(name));
      tensors.emplace_back(name.substr(prefix.size()), make_view(memory.back().data(), shape_of(stored)));
    }
  }
  const TemporaryFolder folder;
  const std::filesystem::path file = folder / "weights.safetensors";
  write_safetensors(file, tensors);
  cuclip::load_weights(model, file);
}

}  // namespace cuclip::test
