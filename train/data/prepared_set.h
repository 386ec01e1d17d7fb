// The files of a prepared data set in its folder: which are its own, and what may be replaced.
#pragma once

#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "train/data/prepare.h"

namespace cuclip {

/// The file that lists a set's shards and vouches for them.
inline constexpr const char* kStatistics = "statistics.json";

/// The shards that the folder's statistics.json lists: only these are known to be of an earlier preparation.
std::set<std::string> listed_shards(const std::filesystem::path& folder);

/// The names of files in the folder that a preparation may write (train-NNN.tar, held-out-NNN.tar), sorted.
/// Throws Error where the folder is there and cannot be read.
std::vector<std::string> shards_in(const std::filesystem::path& folder);

/// Contents for statistics.json while the shards are being replaced: lists everything that may be there, so
/// that after a kill the next preparation recognises the shards as its own and the set as unfinished.
std::string unfinished_statistics(const std::vector<std::string>& train_shards,
                                  const std::vector<std::string>& held_out_shards);

/// Whether a preparation may write a file of this name.
bool is_of_set(const std::string& name);

/// Throws InputError where a file that options.from names may be written over in options.out, or removed
/// there.
void check_sources_stay(const PrepareOptions& options);

/// Throws InputError where options.out has shards or a statistics.json that no preparation wrote, or a whole
/// set made with other options; and as check_sources_stay does.
void check_replaceable(const PrepareOptions& options);

}  // namespace cuclip
