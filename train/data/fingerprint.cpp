#include "train/data/fingerprint.h"

#include <fmt/format.h>
#include <xxhash.h>

#include "train/data/dataset.h"

namespace cuclip {
namespace {

// With its length, so that {"ab", "c"} and {"a", "bc"} differ.
uint64_t mix(uint64_t hash, std::string_view text) {
  const uint64_t size = text.size();
  return XXH64(text.data(), text.size(), XXH64(&size, sizeof(size), hash));
}

// A caption that cannot be used counts by the reason, so that mending it is a change.
uint64_t mix_captions(uint64_t hash, const Dataset& dataset, int64_t index) {
  try {
    for (const std::string& caption : dataset.captions(index)) hash = mix(hash, caption);
  } catch (const SampleError& error) {
    hash = mix(hash, error.reason());
  }
  return mix(hash, "");  // ends the list
}

}  // namespace

DatasetFingerprint Dataset::fingerprint() const {
  DatasetFingerprint result{.pairs = size()};
  for (int64_t i = 0; i < size(); ++i) {
    const int64_t bytes = picture_bytes(i);
    result.names = mix(result.names, key(i));
    result.sizes = XXH64(&bytes, sizeof(bytes), result.sizes);
    result.captions = mix_captions(result.captions, *this, i);
  }
  return result;
}

std::string difference(const DatasetFingerprint& then, const DatasetFingerprint& now) {
  if (then.pairs != now.pairs) {
    const int64_t more = now.pairs - then.pairs;
    return fmt::format("{} {} {} ({}, were {})", std::abs(more), std::abs(more) == 1 ? "pair" : "pairs",
                       more > 0 ? "more" : "fewer", now.pairs, then.pairs);
  }
  // Hashes run over the pairs in order: other names come with other captions and sizes.
  if (then.names != now.names) return "the names of the pairs, or their order, differ";
  std::string text;
  if (then.captions != now.captions) text += "the captions of the pairs differ";
  if (then.sizes != now.sizes) {
    text += text.empty() ? "" : ", ";
    text += "the sizes of the pictures' files differ";
  }
  return text;
}

}  // namespace cuclip
