#include "train/data/prepared_set.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "train/data/collections.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

// "train-007.tar", "held-out-000.tar": a name that write_shards may have given.
bool is_shard_name(const std::string& name) {
  const size_t digits = name.rfind('-') + 1, end = name.size() - std::min<size_t>(name.size(), 4);
  const bool prefix = name.substr(0, digits) == "train-" || name.substr(0, digits) == "held-out-";
  return prefix && name.substr(end) == ".tar" && digits < end &&
         name.find_first_not_of("0123456789", digits) == end;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  if (!path_exists(folder)) return names;
  for (fs::directory_iterator file(folder, error), end; !error && file != end; file.increment(error)) {
    names.push_back(file->path().filename().string());
  }
  if (error) fail("cannot read the folder {}: {}", folder.string(), error.message());
  std::sort(names.begin(), names.end());
  return names;
}

// An empty object where there is none that a preparation can have written.
nlohmann::json statistics_of(const fs::path& folder) {
  nlohmann::json found = nlohmann::json::object();
  if (path_exists(folder / kStatistics)) {
    found = nlohmann::json::parse(read_file(folder / kStatistics), nullptr, false);
  }
  const bool ours = found.is_object() && found.contains("train_shards") && found.contains("held_out_shards");
  return ours ? found : nlohmann::json::object();
}

// Sources that do not name a file: see list_pairs.
bool is_collection(const std::string& spec) {
  return names_collection(spec) || spec.substr(0, spec.find(':')) == "synthetic";
}

}  // namespace

std::set<std::string> listed_shards(const fs::path& folder) {
  std::set<std::string> names;
  const nlohmann::json found = statistics_of(folder);
  for (const char* list : {"train_shards", "held_out_shards"}) {
    for (const nlohmann::json& name : found.value(list, nlohmann::json::array())) {
      // Nothing else is taken to be a shard, whatever the file says.
      if (name.is_string() && is_shard_name(name.get<std::string>())) names.insert(name.get<std::string>());
    }
  }
  return names;
}

std::vector<std::string> shards_in(const fs::path& folder) {
  std::vector<std::string> names = names_in(folder);
  std::erase_if(names, [](const std::string& name) { return !is_shard_name(name); });
  return names;
}

std::string unfinished_statistics(const std::vector<std::string>& train_shards,
                                  const std::vector<std::string>& held_out_shards) {
  const nlohmann::json document = {
      {"unfinished", true}, {"train_shards", train_shards}, {"held_out_shards", held_out_shards}};
  return document.dump(2) + "\n";
}

bool is_of_set(const std::string& name) { return is_shard_name(name) || name == kStatistics; }

void check_sources_stay(const PrepareOptions& options) {
  std::vector<std::string> written = shards_in(options.out);
  written.emplace_back(kStatistics);
  for (const std::string& from : options.from) {
    for (const std::string& part : joined_specs(from)) {
      if (is_collection(part)) continue;
      for (const std::string& source : shard_names(part)) {
        for (const std::string& name : written) {
          std::error_code unknown;
          CUCLIP_CHECK(!fs::equivalent(source, options.out / name, unknown),
                       "data prepare: {} is read (--from), and may be written over or removed in {} (--out): "
                       "choose another folder for --out",
                       source, options.out.string());
        }
      }
    }
  }
}

void check_replaceable(const PrepareOptions& options) {
  check_sources_stay(options);  // --force would not help there
  const std::string out = options.out.string();
  const nlohmann::json found = statistics_of(options.out);
  CUCLIP_CHECK(!found.empty() || !path_exists(options.out / kStatistics),
               "data prepare: {}/{} is there but lists no shards of this command: choose another folder for "
               "--out, or give --force to write over it",
               out, kStatistics);
  const std::set<std::string> own = listed_shards(options.out);
  for (const std::string& name : shards_in(options.out)) {
    CUCLIP_CHECK(own.contains(name),
                 "data prepare: {}/{} already exists and was not written by an earlier run: choose another "
                 "folder for --out, or give --force to write over shards of the same names",
                 out, name);
  }
  const nlohmann::json wanted = nlohmann::json::parse(to_json(PrepareReport{}, options)).at("options");
  const bool same = found.empty() || found.contains("unfinished") || found.value("options", wanted) == wanted;
  CUCLIP_CHECK(same,
               "data prepare: {} has a set made with other options ({}/{} says which): choose another folder "
               "for --out, or give --force to replace it",
               out, out, kStatistics);
}

}  // namespace cuclip
