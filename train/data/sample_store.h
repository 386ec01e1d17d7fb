// Samples decoded on demand, kept decoded where the whole set fits into memory, and the bad ones remembered.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "models/image/image_decode.h"
#include "train/data/dataset.h"

namespace cuclip {

struct DecodedSample {
  std::string key;
  Image picture;
  std::vector<std::string> captions;
};

/// Reads and decodes a sample. Throws SampleError, also for a picture that cannot be decoded. With
/// shorter_edge > 0 a larger picture is shrunk (bicubic) until its shorter edge has that size.
DecodedSample decode_sample(const Dataset& dataset, int64_t index, const DecodeOptions& options = {},
                            int shorter_edge = 0);

/// A picture whose shorter edge is longer than `shorter_edge` is shrunk to it (bicubic; the longer edge is
/// rounded down, as torchvision's Resize does); others stay as they are.
Image shrink_to_edge(Image&& picture, int shorter_edge);

class SampleStore {
 public:
  struct Options {
    int64_t max_pixels;
    int shorter_edge;     // as decode_sample's; decides the pixels, so it must not depend on what is free
    int64_t cache_bytes;  // pictures are kept up to this, 0: none
  };

  SampleStore(const Dataset& dataset, const Options& options);

  /// The sample, or nullptr for a bad one. It lives in the store or, where it is not kept, in `spare`.
  /// Thread-safe.
  const DecodedSample* get(int64_t index, DecodedSample& spare);

  /// Bad samples and damaged pictures found so far (each once), not those that the data set left out.
  BadSamples bad() const;
  int64_t bad_count() const { return bad_count_.load(std::memory_order_relaxed); }

 private:
  enum State : uint8_t { unknown, damaged, kept, bad_sample };  // damaged: counted, but not kept

  void note_damage(size_t index, const std::string& damage);
  const DecodedSample* keep(size_t index, DecodedSample& sample);

  const Dataset& dataset_;
  Options options_;
  std::unique_ptr<std::atomic<uint8_t>[]> states_;
  std::vector<DecodedSample> kept_;  // an entry is written once, before its state says `kept`
  std::atomic<int64_t> bad_count_{0};
  mutable std::mutex mutex_;  // of the two below, and of writing to kept_
  int64_t kept_bytes_ = 0;
  BadSamples bad_;
};

}  // namespace cuclip
