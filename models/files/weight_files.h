// A model's weights: one safetensors file, or several that an index lists.
#pragma once

#include <deque>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/input_file.h"
#include "models/files/safetensors.h"

namespace cuclip {

/// How transformers' index of weights in several files ends: model.safetensors.index.json.
inline constexpr std::string_view kWeightIndexEnding = ".safetensors.index.json";

/// The files that hold the weights of `path`: itself or, where it is an index, the shards that it lists, in
/// its folder. Throws InputError for an index that is damaged or that names files elsewhere.
std::vector<std::filesystem::path> weight_file_paths(const std::filesystem::path& path);

/// The tensors of the weights. Headers are read and checked at once; values when they are asked for, into
/// memory of the caller's, so that weights take their own size and no more
/// (docs/decisions/0015-weights-are-read.md). Files are open only while they are read: there may be more of
/// them than a process may have open.
class WeightFiles {
 public:
  struct File {
    std::filesystem::path path;
    FileStamp stamp;  // when its header was read
  };

  /// One tensor: where it is, and in which file.
  struct Stored {
    SafetensorsEntry entry;  // without data
    const File* file;

    /// Throws InputError where the file cannot be opened or is no longer what it was.
    InputFile open() const { return InputFile(file->path, file->stamp); }
    /// Fills `out` with the values from number `first`, as f32, of what open() has returned. Any thread.
    /// Throws InputError, which calls the tensor `name`, for dtypes other than F32, BF16 and F16, and where
    /// the file cannot be read.
    void read(const InputFile& opened, std::string_view name, int64_t first, std::span<float> out) const;
  };

  /// A safetensors file, or an index. Throws InputError for files that are not whole (safetensors.h), for an
  /// index that is damaged or names files elsewhere, and where index and shards do not have the same tensors.
  explicit WeightFiles(const std::filesystem::path& path);

  /// By name.
  const std::map<std::string, Stored>& tensors() const { return tensors_; }
  /// The path that was given.
  const std::string& name() const { return name_; }

  /// Throws InputError where a file is no longer what it was when its header was read.
  void check_unchanged() const;

 private:
  void add_file(const std::filesystem::path& path);
  std::string name_;
  std::deque<File> files_;  // which keep their address
  std::map<std::string, Stored> tensors_;
};

}  // namespace cuclip
