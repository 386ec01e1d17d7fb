#include "models/clip/weight_shards.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <span>

#include "models/files/safetensors.h"

namespace cuclip {
namespace {

using NamedView = std::pair<std::string, TensorView>;

constexpr std::string_view kShardStart = "model-", kShardMiddle = "-of-", kShardEnd = ".safetensors";

std::string shard_name(size_t number, size_t of) {
  return fmt::format("{}{:05}{}{:05}{}", kShardStart, number, kShardMiddle, of, kShardEnd);
}

int64_t bytes_of(const TensorView& view) {
  return view.elements() * static_cast<int64_t>(size_of(view.dtype));
}

std::vector<std::span<const NamedView>> cut(std::span<const NamedView> tensors, int64_t max_bytes) {
  std::vector<std::span<const NamedView>> shards;
  size_t first = 0;
  int64_t bytes = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const int64_t more = bytes_of(tensors[i].second);
    if (i > first && more > max_bytes - bytes) {
      shards.push_back(tensors.subspan(first, i - first));
      first = i;
      bytes = 0;
    }
    bytes += more;
  }
  shards.push_back(tensors.subspan(first));
  return shards;
}

bool is_number(std::string_view text) {
  return text.size() >= 5 &&
         std::all_of(text.begin(), text.end(), [](char c) { return c >= '0' && c <= '9'; });
}

}  // namespace

PendingWeights pending_weights(const ClipModel& model, const std::filesystem::path& folder, WeightNames names,
                               int64_t max_bytes) {
  CUCLIP_CHECK(max_bytes > 0, "the limit for a file of weights must be above 0, got {}", max_bytes);
  const std::vector<StoredTensor> tensors = stored_tensors(model, names);
  std::vector<NamedView> views;
  PendingWeights pending;
  int64_t total = 0;
  for (const auto& [name, value] : tensors) {
    const int64_t bytes = bytes_of(views.emplace_back(name, value.view()).second);
    total += bytes;
    pending.oversized += bytes > max_bytes;
  }
  const std::vector<std::span<const NamedView>> shards = cut(views, max_bytes);
  nlohmann::json places = nlohmann::json::object();
  for (size_t i = 0; i < shards.size(); ++i) {
    const std::string file = shards.size() == 1 ? kWeightsFile : shard_name(i + 1, shards.size());
    pending.files.push_back(pending_safetensors(folder / file, shards[i], {{"format", "pt"}}));
    pending.names.push_back(file);
    for (const auto& [name, view] : shards[i]) places[name] = file;
  }
  if (shards.size() > 1) {
    const nlohmann::json index = {{"metadata", {{"total_size", total}}}, {"weight_map", places}};
    pending.files.emplace_back(folder / kWeightsIndex, index.dump(2) + "\n");
    pending.names.emplace_back(kWeightsIndex);
  }
  return pending;
}

bool is_weights_name(std::string_view name) {
  if (name == kWeightsFile || name == kWeightsIndex) return true;
  const size_t middle = name.find(kShardMiddle);
  if (!name.starts_with(kShardStart) || !name.ends_with(kShardEnd) || middle == name.npos) return false;
  const size_t number = kShardStart.size(), of = middle + kShardMiddle.size();
  return is_number(name.substr(number, middle - number)) &&
         is_number(name.substr(of, name.size() - kShardEnd.size() - of));
}

}  // namespace cuclip
