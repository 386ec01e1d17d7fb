// Writing WebDataset shards.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/file_io.h"

namespace cuclip {

struct ShardSample {
  std::string key;
  std::string extension;  // of the picture: "png" or "jpg"
  std::string picture;    // the file's bytes
  std::vector<std::string> captions;
};

/// The names of the files that write_shards makes: PREFIX-000.tar and so on.
std::vector<std::string> shard_list(const std::string& prefix, int64_t count, int64_t samples_per_shard);

/// Writes `count` samples, which `sample(i)` gives one after another, to the files of shard_list in `folder`,
/// each of which appears when it is committed. A single caption becomes KEY.txt, several become KEY.json.
/// Nothing in a shard depends on the time or the user. Throws Error when a file cannot be written.
std::vector<PendingFile> write_shards(const std::filesystem::path& folder, const std::string& prefix,
                                      int64_t count, int64_t samples_per_shard,
                                      const std::function<ShardSample(int64_t)>& sample);

}  // namespace cuclip
