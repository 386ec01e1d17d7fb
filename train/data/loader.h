// Batches for training: shuffled, augmented, prefetched by worker threads.
//
// What comes in which batch is a function of (seed, epoch, position) alone. The shuffle is a permutation that
// is computed, not stored; crops, flips and the choice among a picture's captions come from random numbers
// keyed by (seed, epoch, sample). So the number of threads changes nothing, and two numbers are enough to
// resume in the middle of an epoch.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "core/tensor.h"
#include "models/text/tokenizer.h"
#include "train/data/dataset.h"

namespace cuclip {

struct LoaderOptions {
  int64_t batch_size = 256;
  /// The part of each batch that is made: so many places from the first one on; 0: all. Ranks that share
  /// batches have a part each. What is in a place does not depend on it.
  int64_t first_place = 0;
  int64_t places = 0;
  int image_size = 64;
  uint64_t seed = 0;
  int workers = 1;   // threads; 0: batches are made within next()
  int prefetch = 3;  // batches that may be ready or under way; at least 1
  double max_bad_fraction = 0.1;

  /// What makes tokens of captions, as many as context_length of each; it must outlive the loader. None:
  /// batches have captions only.
  const Tokenizer* tokenizer = nullptr;
  int64_t context_length = 77;

  // Random resized crop (Szegedy et al. 2015; open_clip's defaults) and horizontal flip. With a caption that
  // says left or right a picture is not flipped.
  double scale_min = 0.9;
  double scale_max = 1.0;
  double flip_probability = 0.0;

  /// The probability that a picture comes with a part of its caption, worded as a query (caption_parts.h).
  double caption_augment = 0.0;

  int64_t max_pixels = 100'000'000;  // of one picture; larger ones are bad samples

  /// Pictures are kept decoded if the whole set is expected to fit into this. They are then kept with the
  /// shorter edge at most cache_scale * image_size, and augmented from there: a crop of at least
  /// 1 / cache_scale^2 of the area is still shrunk, so it stays sharp. 0: no cache; every epoch decodes
  /// again, from the full size.
  int64_t cache_bytes = int64_t{2} << 30;
  double cache_scale = 1.25;
};

/// The part of a batch that was asked for, P places. Tensors in the host's memory, which the loader does not
/// touch again.
struct Batch {
  Tensor images;                      // u8 [P, image_size, image_size, 3]
  std::vector<std::string> captions;  // [P], one of each picture's, drawn anew each epoch
  Tensor tokens;  // i32 [P, context_length], Tokenizer::encode_padded of these; none without one
  Tensor words;   // i32 [P, 4], word_set of each caption or of the part drawn from it
  int64_t epoch = 0;
  int64_t index = 0;        // within the epoch
  int64_t bad_samples = 0;  // places that were filled by another sample because theirs was bad
};

/// Where a Loader stands: the batch that next() returns next.
struct LoaderPosition {
  int64_t epoch = 0;
  int64_t batch = 0;
  bool operator==(const LoaderPosition&) const = default;
};

class Loader {
 public:
  /// `dataset` must outlive the loader. Throws InputError if it has fewer samples than a batch, or if more
  /// than max_bad_fraction of it has already been found bad.
  Loader(const Dataset& dataset, const LoaderOptions& options);
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  /// The next batch; epochs follow one another without end, and the rest of an epoch that does not fill a
  /// batch is left out. A bad sample's place is filled by the next good one in the order of the data set.
  /// Throws InputError once more than max_bad_fraction of the data set has turned out bad, and Error where
  /// memory has no room for a batch.
  Batch next();

  int64_t batches_per_epoch() const;

  LoaderPosition position() const;
  /// Continues from `position`, with the same batches as if all those before it had been read. Throws
  /// InputError for a position that does not exist.
  void restore(const LoaderPosition& position);

  /// Seconds that next() has spent waiting for workers (or working, without any), since construction.
  double wait_seconds() const;

  /// Samples found bad so far, including those that the data set left out.
  BadSamples bad() const;

  /// One line for logs: the data set, the shuffle, whether pictures are kept decoded.
  std::string describe() const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace cuclip
