#include "models/clip/hf_preprocessor.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>

#include "kernels/common/check.h"
#include "models/files/strict_json.h"

namespace cuclip {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

// The numbers that Pillow gives its filters.
constexpr int kPillowBilinear = 2, kPillowBicubic = 3;

// A size as transformers writes it: an edge that is not given is 0.
struct Size {
  int64_t shortest = 0, height = 0, width = 0;
  bool operator==(const Size&) const = default;
};

// The file's values, and transformers' for keys that are absent or null. (Flags that are null are refused:
// transformers takes them for false, not for their default.)
class Preprocessor {
 public:
  Preprocessor(std::string_view text, std::string_view name)
      : name_(name), root_(parse_strict_json(text, name)) {}

  [[noreturn]] void refuse(const char* key, const std::string& built_in) const {
    const std::string found =
        root_.contains(key) ? fmt::format("{} = {} is not built in", key, excerpt(root_[key]))
                            : fmt::format("{} is absent, and transformers' default is not built in", key);
    fail_input("{}: {}; it must be {}", name_, found, built_in);
  }

  bool flag(const char* key, bool default_value) const {
    const auto found = root_.find(key);
    if (found == root_.end()) return default_value;
    if (!found->is_boolean()) refuse(key, "true or false");
    return found->get<bool>();
  }

  double number(const char* key, double default_value) const {
    const json* found = find(key);
    if (!found) return default_value;
    if (!found->is_number()) refuse(key, "a number");
    return found->get<double>();
  }

  // One number stands for three.
  std::array<float, 3> channels(const char* key, const std::array<float, 3>& default_value) const {
    const json* found = find(key);
    if (!found) return default_value;
    const json list = found->is_array() ? *found : json::array({*found, *found, *found});
    if (list.size() != 3 || !std::all_of(list.begin(), list.end(), is_moderate)) refuse(key, "three numbers");
    return list.get<std::array<float, 3>>();
  }

  // `alone` is what a number by itself means. A size of any other form is empty.
  Size size(const char* key, const Size& default_value, Size (*alone)(int64_t)) const {
    const json* found = find(key);
    if (!found) return default_value;
    if (const int64_t edge = pixels(*found)) return alone(edge);
    if (found->is_array() && found->size() == 2) {
      return {.height = pixels((*found)[0]), .width = pixels((*found)[1])};
    }
    Size size;
    if (!found->is_object()) return size;
    for (const auto& [edge, value] : found->items()) {
      if (value.is_null()) continue;
      if (edge == "shortest_edge") {
        size.shortest = pixels(value);
      } else if (edge == "height") {
        size.height = pixels(value);
      } else if (edge == "width") {
        size.width = pixels(value);
      } else {
        return {};
      }
    }
    return size;
  }

  // The class that transformers would read the file with; old files name it by the second key.
  void check_class() const {
    for (const char* key : {"image_processor_type", "feature_extractor_type"}) {
      const json* found = find(key);
      if (!found) continue;
      const auto is_clip = [&](const char* name) { return *found == name; };
      const auto known = {"CLIPImageProcessor", "CLIPImageProcessorFast", "CLIPImageProcessorPil",
                          "CLIPFeatureExtractor"};
      if (std::none_of(known.begin(), known.end(), is_clip)) refuse(key, "absent or \"CLIPImageProcessor\"");
      return;
    }
  }

 private:
  const json* find(const char* key) const {
    const auto found = root_.find(key);
    return found == root_.end() || found->is_null() ? nullptr : &*found;
  }

  static int64_t pixels(const json& value) {
    if (!value.is_number_integer()) return 0;
    const auto n = value.get<int64_t>();
    return n > 0 && n < (1 << 24) ? n : 0;
  }

  std::string name_;
  json root_;
};

void read_sizes(const Preprocessor& file, ClipConfig& config) {
  constexpr int64_t kDefault = 224;
  const int64_t edge = config.vision.image_size;
  const Size square{.height = edge, .width = edge};
  const Size size = file.size("size", {.shortest = kDefault}, [](int64_t n) { return Size{.shortest = n}; });
  const Size crop = file.size("crop_size", {.height = kDefault, .width = kDefault},
                              [](int64_t n) { return Size{.height = n, .width = n}; });
  const bool cropped = file.flag("do_center_crop", true);
  if (size == square) {
    config.resize_mode = ResizeMode::squash;
  } else if (size == Size{.shortest = edge}) {
    if (!cropped) file.refuse("do_center_crop", "true where size is the shortest edge");
    config.resize_mode = ResizeMode::shortest;
  } else {
    file.refuse("size", fmt::format(R"({{"shortest_edge": {0}}} or {{"height": {0}, "width": {0}}}, )"
                                    "since the model's image_size is {0}",
                                    edge));
  }
  if (cropped && crop != square) {
    file.refuse("crop_size", fmt::format(R"({{"height": {0}, "width": {0}}}, the model's image_size)", edge));
  }
}

}  // namespace

void read_hf_preprocessor(std::string_view text, std::string_view name, ClipConfig& config) {
  const Preprocessor file(text, name);
  file.check_class();
  if (!file.flag("do_resize", true)) file.refuse("do_resize", "true");
  if (file.flag("use_square_size", false)) file.refuse("use_square_size", "absent or false");
  if (file.flag("do_pad", false)) file.refuse("do_pad", "absent or false");
  read_sizes(file, config);
  const double filter = file.number("resample", kPillowBicubic);
  if (filter != kPillowBicubic && filter != kPillowBilinear) {
    file.refuse("resample", "3 (bicubic) or 2 (bilinear)");
  }
  config.interpolation = filter == kPillowBicubic ? ResampleFilter::bicubic : ResampleFilter::bilinear;
  if (!file.flag("do_rescale", true)) file.refuse("do_rescale", "true");
  if (std::abs(file.number("rescale_factor", 1 / 255.0) * 255 - 1) > 1e-6) {
    file.refuse("rescale_factor", "1/255 (0.00392156862745098)");
  }
  file.flag("do_convert_rgb", true);  // of one meaning for pictures that both read, see the header
  config.mean = file.channels("image_mean", config.mean);
  config.stddev = file.channels("image_std", config.stddev);
  if (!file.flag("do_normalize", true)) {
    config.mean = {0, 0, 0};
    config.stddev = {1, 1, 1};
  }
}

std::string hf_preprocessor_json(const ClipConfig& c) {
  const int edge = c.vision.image_size;
  const ordered_json square = {{"height", edge}, {"width", edge}};
  const bool squash = c.resize_mode == ResizeMode::squash;
  const ordered_json root = {
      {"image_processor_type", "CLIPImageProcessor"},
      {"do_convert_rgb", true},
      {"do_resize", true},
      {"size", squash ? square : ordered_json{{"shortest_edge", edge}}},
      {"resample", c.interpolation == ResampleFilter::bicubic ? kPillowBicubic : kPillowBilinear},
      {"do_center_crop", !squash},
      {"crop_size", square},
      {"do_rescale", true},
      {"rescale_factor", 1 / 255.0},
      {"do_normalize", true},
      {"image_mean", c.mean},
      {"image_std", c.stddev}};
  return root.dump(2) + "\n";
}

}  // namespace cuclip
