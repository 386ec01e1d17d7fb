#include "train/data/shared_pairs.h"

#include <set>
#include <string>
#include <unordered_map>

namespace cuclip {
namespace {

bool same_picture(const Sample& a, const Sample& b) {
  if (a.picture.index() != b.picture.index()) return false;
  if (const auto* bytes = std::get_if<std::string>(&a.picture))
    return *bytes == std::get<std::string>(b.picture);
  const Image &first = std::get<Image>(a.picture), &second = std::get<Image>(b.picture);
  return first.width == second.width && first.height == second.height && first.rgb == second.rgb;
}

bool same_pair(const Dataset& train, int64_t i, const Dataset& held_out, int64_t j) {
  if (train.picture_bytes(i) != held_out.picture_bytes(j)) return false;
  try {
    const Sample first = train.load(i), second = held_out.load(j);
    return first.captions == second.captions && same_picture(first, second);
  } catch (const SampleError&) {
    return false;  // not used, so in neither
  }
}

}  // namespace

int64_t shared_pairs(const Dataset& train, const Dataset& held_out) {
  std::unordered_multimap<std::string, int64_t> by_key;
  for (int64_t j = 0; j < held_out.size(); ++j) by_key.emplace(held_out.key(j), j);
  std::set<int64_t> shared;
  for (int64_t i = 0; i < train.size(); ++i) {
    const auto [first, last] = by_key.equal_range(train.key(i));
    for (auto it = first; it != last; ++it) {
      if (!shared.contains(it->second) && same_pair(train, i, held_out, it->second))
        shared.insert(it->second);
    }
  }
  return std::ssize(shared);
}

}  // namespace cuclip
