#include "models/inference/feature_index.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstring>

#include "core/file_io.h"
#include "kernels/similarity/similarity.h"
#include "models/files/names.h"
#include "models/files/safetensors.h"
#include "models/inference/unit_rows.h"

namespace cuclip {
namespace {

// Format 2 has "files", "precision" and "missing". When pictures come to be encoded otherwise than before,
// the number must be raised: features of both would stand side by side in one index.
constexpr std::string_view kAnyFormat = "cuclip-index ", kFormat1 = "cuclip-index 1",
                           kFormat = "cuclip-index 2";
constexpr int64_t kBytesPerFile = 24;

// The entry `name` of dtype and rank, or an error.
const SafetensorsEntry& entry_of(const Safetensors& file, const char* name,
                                 std::initializer_list<const char*> dtypes, size_t rank) {
  const SafetensorsEntry* entry = file.find(name);
  const bool good =
      entry && entry->shape.size() == rank &&
      std::any_of(dtypes.begin(), dtypes.end(), [&](const char* d) { return entry->dtype == d; });
  CUCLIP_CHECK(good, "{}: expected the tensor \"{}\" of an index, found {}", file.file(), name,
               entry ? entry->describe() : "none");
  return *entry;
}

std::string metadata_of(const Safetensors& file, const std::string& key) {
  const auto at = file.metadata().find(key);
  CUCLIP_CHECK(at != file.metadata().end(), "{}: expected an index made by cuclip index, found no \"{}\"",
               file.file(), key);
  return at->second;
}

Safetensors open_index(const std::filesystem::path& path) {
  try {
    return Safetensors::open(path);
  } catch (const InputError& error) {
    fail_input("{} (expected an index made by cuclip index)", error.what());
  }
}

// Metadata is JSON, and so UTF-8; a path need not be.
void put_path(std::map<std::string, std::string>& metadata, const std::string& key, const std::string& path) {
  metadata[is_utf8(path) ? key : key + "_bytes"] = is_utf8(path) ? path : percent_encoded(path);
}

std::string path_in(const Safetensors& file, const std::string& key) {
  const auto bytes = file.metadata().find(key + "_bytes");
  return bytes == file.metadata().end() ? metadata_of(file, key) : percent_decoded(bytes->second);
}

// Names are separated by NUL, which no path contains.
std::vector<std::string> split_names(std::span<const std::byte> bytes) {
  std::vector<std::string> names;
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  for (size_t at = 0; at < bytes.size();) {
    const auto* end = static_cast<const char*>(std::memchr(text + at, 0, bytes.size() - at));
    const size_t length = end ? static_cast<size_t>(end - text) - at : bytes.size() - at;
    names.emplace_back(text + at, length);
    at += length + 1;
  }
  return names;
}

std::string bytes_of(const std::vector<IndexedFile>& files) {
  std::string bytes;
  const auto append = [&](uint64_t value) {
    for (int i = 0; i < 8; ++i, value >>= 8) bytes += static_cast<char>(value);
  };
  for (const IndexedFile& file : files) {
    append(static_cast<uint64_t>(file.stamp.bytes));
    append(static_cast<uint64_t>(file.stamp.mtime_ns));
    append(file.xxh3);
  }
  return bytes;
}

std::vector<IndexedFile> split_files(std::span<const std::byte> bytes) {
  const auto number = [&](size_t at) {
    uint64_t value = 0;
    for (size_t i = 8; i-- > 0;) value = value << 8 | std::to_integer<uint64_t>(bytes[at + i]);
    return value;
  };
  std::vector<IndexedFile> files;
  for (size_t at = 0; at < bytes.size(); at += kBytesPerFile) {
    files.push_back({.stamp = {.bytes = static_cast<int64_t>(number(at)),
                               .mtime_ns = static_cast<int64_t>(number(at + 8))},
                     .xxh3 = number(at + 16)});
  }
  return files;
}

// What format 2 adds to format 1.
void read_additions(const Safetensors& file, FeatureIndex& index) {
  index.precision = metadata_of(file, "precision");
  index.batch_invariant = file.metadata().contains("batch_invariant");
  if (file.find("files")) {
    const SafetensorsEntry& files = entry_of(file, "files", {"U8"}, 2);
    CUCLIP_CHECK(files.shape[0] == std::ssize(index.names) && files.shape[1] == kBytesPerFile,
                 "{}: expected \"files\" of [{}, {}], found {}; the index is damaged", file.file(),
                 index.names.size(), kBytesPerFile, files.describe());
    index.files = split_files(files.data);
  }
  if (!file.metadata().contains("missing")) return;
  const std::string missing = metadata_of(file, "missing");
  const auto [end, error] = std::from_chars(missing.data(), missing.data() + missing.size(), index.missing);
  CUCLIP_CHECK(error == std::errc() && end == missing.data() + missing.size() && index.missing > 0,
               "{}: expected a number of pictures that are missing, found \"{}\"; the index is damaged",
               file.file(), missing);
}

// Of each row.
void read_features(Context& context, const Safetensors& file, FeatureIndex& index) {
  const SafetensorsEntry& features = entry_of(file, "features", {"F32", "BF16"}, 2);
  const SafetensorsEntry& rows = entry_of(file, "rows", {"I32"}, 1);
  const int64_t count = features.shape[0];
  CUCLIP_CHECK(features.shape[1] > 0, "{}: its features have no elements; the index is damaged", file.file());
  CUCLIP_CHECK(count > 0 && std::ssize(index.names) == count && rows.shape[0] == count,
               "{}: {} features, {} names and {} row numbers; the index is damaged", file.file(), count,
               index.names.size(), rows.shape[0]);
  std::vector<int32_t> places(static_cast<size_t>(count));
  std::memcpy(places.data(), rows.data.data(), rows.data.size());
  CUCLIP_CHECK(std::all_of(places.begin(), places.end(), [](int32_t place) { return place >= 0; }),
               "{}: a picture's place is negative; the index is damaged", file.file());
  index.rows.assign(places.begin(), places.end());
  std::vector<float> values(static_cast<size_t>(count * features.shape[1]));
  copy_to_f32(features, "features", values);
  CUCLIP_CHECK(std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); }),
               "{}: the features hold values that are not finite; rebuild the index", file.file());
  require_unit_rows(values, values.size() / static_cast<size_t>(count), file.file(), "; rebuild the index");
  index.features = Tensor::from<float>(context, {count, features.shape[1]}, values);
  index.stored = features.dtype == "BF16" ? DType::bf16 : DType::f32;
}

}  // namespace

std::filesystem::path FeatureIndex::path(int64_t row) const {
  return std::filesystem::path(source) / names[static_cast<size_t>(row)];
}

std::string FeatureIndex::name(int64_t row) const {
  return is_folder ? path(row).string() : names[static_cast<size_t>(row)];
}

void require_model_of(const FeatureIndex& index, const std::string& name, const ClipModel& model,
                      const std::string& description) {
  CUCLIP_CHECK(model.fingerprint() == index.model_fingerprint,
               "{}: this index was built with different weights ({}) from those of {}; rebuild it with this "
               "model, or use the original",
               name, index.model, description);
  CUCLIP_CHECK(index.features.size(1) == model.config().embed_dim,
               "{}: expected features of {} elements, as the model's are, found {}; the index is damaged",
               name, model.config().embed_dim, index.features.size(1));
}

void save_index(const FeatureIndex& index, const std::filesystem::path& path) {
  pending_index(index, path).commit();
}

PendingFile pending_index(const FeatureIndex& index, const std::filesystem::path& path) {
  CUCLIP_CHECK(index.files.empty() || index.files.size() == index.names.size(),
               "save_index: {} names and {} files", index.names.size(), index.files.size());
  std::string names, files = bytes_of(index.files);
  for (const std::string& name : index.names) names.append(name.c_str(), name.size() + 1);
  std::vector<int32_t> rows;
  for (const int64_t row : index.rows) rows.push_back(static_cast<int32_t>(row));
  std::vector<float> values = index.features.to_floats();
  TensorView features = make_view(values.data(), index.features.shape());
  std::vector<bfloat16> low;
  if (index.stored == DType::bf16) {
    for (const float value : values) low.push_back(bfloat16(value));
    features = make_view(low.data(), index.features.shape());
  }
  std::vector<std::pair<std::string, TensorView>> tensors = {
      {"features", features},
      {"names", TensorView(names.data(), DType::u8, {std::ssize(names)})},
      {"rows", make_view(rows.data(), {std::ssize(rows)})}};
  std::map<std::string, std::string> metadata = {{"format", std::string(kFormat)},
                                                 {"kind", index.is_folder ? "folder" : "dataset"},
                                                 {"model_fingerprint", index.model_fingerprint},
                                                 {"precision", index.precision}};
  if (!index.files.empty()) {
    tensors.emplace_back("files",
                         TensorView(files.data(), DType::u8, {std::ssize(index.files), kBytesPerFile}));
  }
  if (index.batch_invariant) metadata["batch_invariant"] = "true";
  if (index.missing > 0) metadata["missing"] = std::to_string(index.missing);
  put_path(metadata, "source", index.source);
  put_path(metadata, "model", index.model);
  return pending_safetensors(path, tensors, metadata);
}

bool may_become_index(const std::filesystem::path& path) {
  std::error_code unknown;
  if (!path_exists(path) || std::filesystem::file_size(path, unknown) == 0) return true;
  try {
    const std::map<std::string, std::string> metadata = Safetensors::read_metadata(path);
    const auto format = metadata.find("format");
    return format != metadata.end() && format->second.starts_with(kAnyFormat);
  } catch (const InputError&) {
    return false;
  }
}

FeatureIndex load_index(Context& context, const std::filesystem::path& path) {
  const Safetensors file = open_index(path);
  const std::string format = metadata_of(file, "format");
  CUCLIP_CHECK(
      format == kFormat || format == kFormat1, "{}: expected an index (\"{}\"), found \"{}\"{}",
      path.string(), kFormat, format,
      format.starts_with(kAnyFormat) ? ": another version of cuclip made it; rebuild the index" : "");
  FeatureIndex index{.source = path_in(file, "source"),
                     .names = split_names(entry_of(file, "names", {"U8"}, 1).data),
                     .rows = {},
                     .is_folder = metadata_of(file, "kind") == "folder",
                     .model = path_in(file, "model"),
                     .model_fingerprint = metadata_of(file, "model_fingerprint"),
                     .features = {}};
  read_features(context, file, index);
  if (format == kFormat) read_additions(file, index);
  return index;
}

void keep_norms(Context& context, FeatureIndex& index) {
  index.features = index.features.to(context);
  if (index.names.empty()) return;
  index.rnorm = Tensor::empty(context, {index.features.size(0)}, DType::f32);
  l2_normalize_forward({.x = index.features, .rnorm = index.rnorm}, context.exec());
}

std::vector<Hit> search_index(Context& context, const FeatureIndex& index, const Tensor& query,
                              int64_t count) {
  CUCLIP_CHECK(count >= 0, "search: the number of hits must not be negative, got {}", count);
  const int64_t k = std::min(count, std::ssize(index.names));
  if (k == 0) return {};
  const Tensor features = index.features.to(context);
  const Tensor values = Tensor::empty(context, {1, k}, DType::f32);
  const Tensor rows = Tensor::empty(context, {1, k}, DType::i32);
  const Tensor rnorm = index.rnorm ? index.rnorm.to(context) : Tensor();
  top_k({.a = query, .b = features, .b_rnorm = rnorm, .k = k, .values = values, .indices = rows},
        context.exec());
  const Tensor rows_on_host = rows.to(context.host());
  const std::vector<float> similarities = values.to_floats();
  std::vector<Hit> hits;
  for (int64_t i = 0; i < k; ++i) {
    hits.push_back({rows_on_host.data<int32_t>()[i], similarities[static_cast<size_t>(i)]});
  }
  return hits;
}

}  // namespace cuclip
