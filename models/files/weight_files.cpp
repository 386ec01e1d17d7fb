#include "models/files/weight_files.h"

#include <set>

#include "models/files/names.h"
#include "models/files/strict_json.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

bool is_index(const fs::path& path) { return path.filename().string().ends_with(kWeightIndexEnding); }

// The names in an index come from elsewhere: one with a folder in it could lead to any file of the user's.
bool is_plain_name(const std::string& name) {
  return !name.empty() && name != "." && name != ".." && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Tensor → name of its file.
std::map<std::string, std::string> read_weight_map(const fs::path& path) {
  const std::string index = path.string();
  const nlohmann::json json = parse_strict_json(read_file(path), index);
  const auto map = json.find("weight_map");
  CUCLIP_CHECK(map != json.end() && map->is_object() && !map->empty(),
               "{}: expected \"weight_map\", an object with the file of each tensor, found {}", index,
               map == json.end() ? "none" : excerpt(*map));
  std::map<std::string, std::string> files;
  for (const auto& [tensor, file] : map->items()) {
    CUCLIP_CHECK(file.is_string() && is_plain_name(file.get<std::string>()),
                 "{}: the file of {} is {}, expected the name of a file in the index's own folder", index,
                 shortened_name(tensor), excerpt(file));
    files.emplace(tensor, file.get<std::string>());
  }
  return files;
}

std::vector<fs::path> shards_of(const fs::path& index, const std::map<std::string, std::string>& weight_map) {
  std::set<std::string> names;
  for (const auto& [tensor, file] : weight_map) names.insert(file);
  std::vector<fs::path> shards;
  for (const std::string& name : names) shards.push_back(index.parent_path() / name);
  return shards;
}

}  // namespace

std::vector<fs::path> weight_file_paths(const fs::path& path) {
  if (!is_index(path)) return {path};
  return shards_of(path, read_weight_map(path));
}

void WeightFiles::Stored::read(const InputFile& opened, std::string_view name, int64_t first,
                               std::span<float> out) const {
  const bool whole = entry.dtype == "F32";
  CUCLIP_CHECK(whole || entry.dtype == "BF16" || entry.dtype == "F16",
               "{}: {}: expected F32, BF16 or F16, found {}", opened.name(), name, entry.dtype);
  const size_t bytes_each = whole ? 4 : 2;
  const auto at = static_cast<int64_t>(entry.begin + static_cast<size_t>(first) * bytes_each);
  if (whole) {
    const auto bytes = std::as_writable_bytes(out);
    opened.read_exactly(at, {reinterpret_cast<char*>(bytes.data()), bytes.size()});
    return;
  }
  std::vector<char> bytes(out.size() * bytes_each);
  opened.read_exactly(at, bytes);
  copy_to_f32(
      {.dtype = entry.dtype, .shape = {std::ssize(out)}, .data = std::as_bytes(std::span<const char>(bytes))},
      name, out);
}

WeightFiles::WeightFiles(const fs::path& path) : name_(path.string()) {
  if (!is_index(path)) {
    add_file(path);
    return;
  }
  const std::map<std::string, std::string> weight_map = read_weight_map(path);
  for (const fs::path& shard : shards_of(path, weight_map)) {
    try {
      add_file(shard);
    } catch (const InputError& error) {
      fail_input("{}: one of the files that it lists cannot be used: {}", name_, error.what());
    }
  }
  for (const auto& [tensor, file] : weight_map) {
    const auto found = tensors_.find(tensor);
    const fs::path shard = path.parent_path() / file;
    CUCLIP_CHECK(found != tensors_.end(), "{}: expected {} in {}, which does not have it", name_,
                 shortened_name(tensor), shard.string());
    CUCLIP_CHECK(found->second.file->path == shard, "{}: expected {} in {}, found it in {}", name_,
                 shortened_name(tensor), shard.string(), found->second.file->path.string());
  }
  for (const auto& [tensor, stored] : tensors_) {
    CUCLIP_CHECK(weight_map.contains(tensor), "{}: {} has {}, which the index does not list", name_,
                 stored.file->path.string(), shortened_name(tensor));
  }
}

void WeightFiles::add_file(const fs::path& path) {
  const InputFile opened(path);
  const File& file = files_.emplace_back(File{path, opened.stamp()});
  const Safetensors header = Safetensors::read_header(opened);
  for (const auto& [tensor, entry] : header.tensors()) {
    const auto [place, added] = tensors_.emplace(tensor, Stored{.entry = entry, .file = &file});
    CUCLIP_CHECK(added, "{} is in two files, {} and {}", shortened_name(tensor),
                 place->second.file->path.string(), path.string());
  }
}

void WeightFiles::check_unchanged() const {
  for (const File& file : files_) InputFile(file.path, file.stamp);
}

}  // namespace cuclip
