#include "train/data/fingerprint.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <vector>

#include "core/counted.h"
#include "kernels/common/parallel.h"
#include "train/data/dataset.h"

namespace cuclip {
namespace {

// With its length, so that {"ab", "c"} and {"a", "bc"} differ.
uint64_t mix(uint64_t hash, std::string_view text) {
  const uint64_t size = text.size();
  return XXH64(text.data(), text.size(), XXH64(&size, sizeof(size), hash));
}

// A caption that cannot be used is represented by the reason, so that mending it counts as a change.
uint64_t mix_captions(uint64_t hash, const CaptionsOrReason& sample) {
  for (const std::string& caption : sample.captions) hash = mix(hash, caption);
  if (!sample.reason.empty()) hash = mix(hash, sample.reason);
  return mix(hash, "");  // ends the list
}

// What is read of the pairs of one chunk.
struct Chunk {
  std::vector<CaptionsOrReason> captions;
  std::vector<int64_t> sizes;
};

Chunk read_chunk(const Dataset& dataset, int64_t first, int64_t count) {
  Chunk chunk{.captions = dataset.captions_of(first, count), .sizes = {}};
  for (int64_t i = first; i < first + count; ++i) chunk.sizes.push_back(dataset.picture_bytes(i));
  return chunk;
}

}  // namespace

// Reading is what takes time, so several threads do it; the hashes run over the pairs in order. Only one
// round of chunks is held at a time, not the captions of the whole set.
DatasetFingerprint Dataset::fingerprint(int threads) const {
  constexpr int64_t kChunk = 256, kChunksPerThread = 8;
  ThreadPool pool(threads);
  std::vector<Chunk> chunks(static_cast<size_t>(kChunksPerThread * pool.size()));
  DatasetFingerprint result{.pairs = size()};
  for (int64_t start = 0; start < size(); start += std::ssize(chunks) * kChunk) {
    const int64_t left = std::min(size() - start, std::ssize(chunks) * kChunk);
    const int64_t count = (left + kChunk - 1) / kChunk;
    pool.run(count, [&](int64_t task, int) {
      const int64_t first = task * kChunk;
      chunks[static_cast<size_t>(task)] = read_chunk(*this, start + first, std::min(kChunk, left - first));
    });
    for (int64_t i = 0; i < left; ++i) {
      const Chunk& chunk = chunks[static_cast<size_t>(i / kChunk)];
      const auto at = static_cast<size_t>(i % kChunk);
      result.names = mix(result.names, key(start + i));
      result.sizes = XXH64(&chunk.sizes[at], sizeof(chunk.sizes[at]), result.sizes);
      result.captions = mix_captions(result.captions, chunk.captions[at]);
    }
  }
  return result;
}

std::string difference(const DatasetFingerprint& then, const DatasetFingerprint& now) {
  if (then.pairs != now.pairs) {
    const int64_t more = now.pairs - then.pairs;
    return fmt::format("{} {} ({} instead of {})", counted(std::abs(more), "pair"),
                       more > 0 ? "more" : "fewer", now.pairs, then.pairs);
  }
  // Hashes run over the pairs in order: if the names differ, so do the captions and sizes.
  if (then.names != now.names) return "the pairs have different names or a different order";
  std::string text;
  if (then.captions != now.captions) text += "the captions of the pairs differ";
  if (then.sizes != now.sizes) {
    text += text.empty() ? "" : ", ";
    text += "the sizes of the pictures' files differ";
  }
  return text;
}

}  // namespace cuclip
