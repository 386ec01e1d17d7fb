#include "train/cli/output_files.h"

#include <algorithm>
#include <fstream>
#include <span>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/inference/checkpoint_folders.h"
#include "models/inference/feature_index.h"
#include "models/inference/model_source.h"

namespace cuclip {
namespace {

const char* name_of(OutputKind kind) {
  switch (kind) {
    case OutputKind::npy:
      return "a .npy file";
    case OutputKind::safetensors:
      return "a safetensors file";
    case OutputKind::png:
      return "a PNG picture";
    case OutputKind::svg:
      return "an SVG drawing";
    case OutputKind::html:
      return "an HTML page";
    case OutputKind::gzip:
      return "a gzip file";
    case OutputKind::json:
      return "a JSON file";
    case OutputKind::merges:
      return "a merges file";
    case OutputKind::index:
      return "a cuclip index";
  }
  return "";
}

// Whether nothing is there, an empty file, or one of this kind by its first bytes.
bool may_become(const std::string& file, OutputKind kind) {
  if (!path_exists(file)) return true;
  if (kind == OutputKind::index) return may_become_index(file);
  std::string start(100, '\0');
  std::ifstream in(file, std::ios::binary);
  in.read(start.data(), std::ssize(start));
  start.resize(static_cast<size_t>(in.gcount()));
  if (start.empty()) return true;
  switch (kind) {
    case OutputKind::npy:
      return start.starts_with("\x93NUMPY");
    case OutputKind::safetensors:
      return start.size() > 8 && start[8] == '{';
    case OutputKind::png:
      return start.starts_with("\x89PNG");
    case OutputKind::svg:
      return start.find("<svg") != std::string::npos || start.starts_with("<?xml");
    case OutputKind::html:
      return start.starts_with("<!DOCTYPE html>");
    case OutputKind::gzip:
      return start.starts_with("\x1f\x8b");
    case OutputKind::json:
      return start.starts_with('{');
    case OutputKind::merges:
      return start.find("#version") != std::string::npos;
    case OutputKind::index:
      break;  // above
  }
  return false;
}

bool is_one_of(std::span<const char* const> names, const std::string& name) {
  return std::find(names.begin(), names.end(), name) != names.end();
}

// Whether the file is a part of the model in its folder, or would be read instead of a part. Weights alone
// are no model yet, and may be written again; so may merges without weights.
bool belongs_to_model(const std::filesystem::path& file) {
  const std::filesystem::path folder = file.parent_path(), weights = weights_in(folder);
  const std::string name = file.filename();
  if (is_one_of(kMergesNames, name)) return !weights.empty() && !merges_in(folder).empty();
  if (!is_weights_name(name) && !is_one_of(kWeightsNames, name)) return false;
  return !config_in(folder).empty() || (!weights.empty() && weights.filename() != name);
}

}  // namespace

OutputKind kind_of_name(const std::string& file, OutputKind otherwise) {
  const std::string extension = std::filesystem::path(file).extension();
  for (const auto& [end, kind] : {std::pair{".npy", OutputKind::npy},
                                  {".safetensors", OutputKind::safetensors},
                                  {".png", OutputKind::png},
                                  {".svg", OutputKind::svg},
                                  {".gz", OutputKind::gzip}}) {
    if (extension == end) return kind;
  }
  return otherwise;
}

void check_can_write(const std::string& file, OutputKind kind, const std::vector<std::string>& inputs) {
  check_can_replace(file, kind, inputs);
  std::error_code unknown;
  CUCLIP_CHECK(!belongs_to_model(file) && !belongs_to_model(std::filesystem::weakly_canonical(file, unknown)),
               "{} would overwrite a part of the model in its folder, or be read instead of it; choose "
               "another name or "
               "folder to write to",
               file);
}

void check_can_replace(const std::string& file, OutputKind kind, const std::vector<std::string>& inputs) {
  CUCLIP_CHECK(!is_folder(file), "cannot write {}: it is a folder, expected a file", file);
  std::error_code unknown;
  CUCLIP_CHECK(!path_exists(file) || std::filesystem::is_regular_file(file, unknown),
               "cannot write {}: it exists and is not a regular file", file);
  for (const std::string& input : inputs) {
    CUCLIP_CHECK(!std::filesystem::equivalent(file, input, unknown),
                 "{} is an input and would be overwritten; choose another output name", input);
  }
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  // Through a link, too.
  const std::filesystem::path target = std::filesystem::weakly_canonical(file, unknown);
  CUCLIP_CHECK(
      !path_exists(file) || !(is_checkpoint_folder(folder) || is_checkpoint_folder(target.parent_path())),
      "{} belongs to a checkpoint of a training run and would be overwritten: choose another name to "
      "write to",
      file);
  CUCLIP_CHECK(
      may_become(file, kind),
      "{} exists and is not {}; it would be overwritten. Choose another name to write to, or remove it", file,
      name_of(kind));
  // A mistyped name makes no folders.
  CUCLIP_CHECK(folder.empty() || is_folder(folder), "cannot write {}: there is no folder {}; make it first",
               file, folder.string());
  try_to_write(file);
}

void check_can_fill(const std::filesystem::path& folder,
                    const std::vector<std::pair<std::string, OutputKind>>& files,
                    const std::vector<std::string>& inputs) {
  if (is_folder(folder)) {
    for (const auto& [name, kind] : files) check_can_write(folder / name, kind, inputs);
    return;
  }
  std::filesystem::path there = std::filesystem::absolute(folder);
  while (!path_exists(there) && there.has_relative_path()) there = there.parent_path();
  if (!is_folder(there))
    fail("cannot create the folder {}: {} is not a folder", folder.string(), there.string());
  try_to_write(there / files.front().first);
}

}  // namespace cuclip
