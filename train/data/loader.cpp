#include "train/data/loader.h"

#include <fmt/format.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <condition_variable>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>

#include "core/clock.h"
#include "kernels/common/signals.h"
#include "models/image/image_transform.h"
#include "train/data/caption_parts.h"
#include "train/data/permutation.h"
#include "train/data/sample_store.h"

namespace cuclip {
namespace {

constexpr int64_t kChunk = 16;  // places of a batch that a worker takes at a time

// Bytes of a picture kept at this shorter edge; an edge ratio of 4 : 3 is typical.
int64_t expected_bytes(int64_t edge) { return edge * edge * 3 * 4 / 3; }

int kept_edge(const LoaderOptions& options) {
  return static_cast<int>(options.cache_scale * options.image_size + 0.5);
}

LoaderOptions with_places(LoaderOptions options) {
  if (options.places == 0) options.places = options.batch_size - options.first_place;
  return options;
}

SampleStore::Options store_options(const Dataset& dataset, const LoaderOptions& options) {
  const int edge = kept_edge(options);
  const bool cached = dataset.size() <= options.cache_bytes / expected_bytes(edge);
  return {.max_pixels = options.max_pixels,
          .shorter_edge = cached ? edge : 0,
          .cache_bytes = cached ? options.cache_bytes : 0};
}

// "an arrow to the left" is not true of the mirrored picture. (So is "bright", by its letters; that does no
// harm.)
bool says_left_or_right(std::string_view caption) {
  auto says = [&](std::string_view word) {
    const auto same = [](char a, char b) { return std::tolower(static_cast<unsigned char>(a)) == b; };
    return std::search(caption.begin(), caption.end(), word.begin(), word.end(), same) != caption.end();
  };
  return says("left") || says("right");
}

// A batch under way. Its places are handed out in chunks; when the last chunk is done the batch is ready.
struct Slot {
  Batch batch;
  int64_t next_place = 0;
  int64_t places_done = 0;
};

}  // namespace

class Loader::Impl {
 public:
  Impl(const Dataset& dataset, const LoaderOptions& options);
  ~Impl() { stop(); }

  Batch next();
  void restore(const LoaderPosition& position);

  int64_t batches_per_epoch() const { return dataset_.size() / options_.batch_size; }
  LoaderPosition position() const { return position_; }
  double wait_seconds() const { return wait_seconds_; }
  BadSamples bad() const;
  std::string describe() const;

 private:
  void start();
  void stop();
  void work();
  Slot* slot_with_work();
  Slot make_slot(const LoaderPosition& position);
  void fill(Slot& slot, int64_t first, int64_t last, int64_t& bad_samples);
  void set_caption(Batch& batch, int64_t place, const std::string& caption, SplitMix64& rng) const;
  void tokenise(Batch& batch, int64_t first, int64_t last) const;
  int64_t good_sample(int64_t index, const DecodedSample*& sample, DecodedSample& spare);
  void check_bad_fraction() const;
  LoaderPosition after(const LoaderPosition& position) const;

  const Dataset& dataset_;
  LoaderOptions options_;
  SampleStore store_;
  bool cached_;
  CachingAllocator memory_{std::make_shared<const DeviceQueue>(Device::cpu)};  // of the batches
  LoaderPosition position_;  // of the batch that next() returns next; the caller's thread only
  double wait_seconds_ = 0;

  std::vector<std::thread> threads_;
  std::mutex mutex_;
  std::condition_variable work_, ready_;
  std::deque<Slot> slots_;        // the batches from position_ on
  LoaderPosition next_to_start_;  // the batch of the slot after the last
  std::exception_ptr error_;
  bool stopping_ = false;
};

Loader::Impl::Impl(const Dataset& dataset, const LoaderOptions& options)
    : dataset_(dataset),
      options_(with_places(options)),
      store_(dataset, store_options(dataset, options)),
      cached_(store_options(dataset, options).cache_bytes > 0) {
  CUCLIP_CHECK(
      options.batch_size > 0 && options.image_size > 0 && options.prefetch > 0 && options.workers >= 0,
      "loader: batch size, image size and prefetch must be positive, found {}, {} and {}", options.batch_size,
      options.image_size, options.prefetch);
  CUCLIP_CHECK(options_.first_place >= 0 && options_.places > 0 &&
                   options_.places <= options.batch_size - options_.first_place,
               "loader: a batch of {} has no places {} to {}", options.batch_size, options_.first_place,
               options_.first_place + options_.places - 1);
  CUCLIP_CHECK(dataset.size() >= options.batch_size,
               "{}: fewer than one batch of {}: use a smaller --batch-size or more data", dataset.describe(),
               options.batch_size);
  check_bad_fraction();
  start();
}

void Loader::Impl::start() {
  next_to_start_ = position_;
  stopping_ = false;
  try {
    start_threads(threads_, options_.workers, [this](int) {
      // With a lower priority than the threads that compute: those wait for one another at the end of each
      // kernel, so a loader that took its full share of a core would slow all of them down. When they have to
      // wait for data, this gives nothing away.
      constexpr int kNice = 10;
      ::setpriority(PRIO_PROCESS, static_cast<id_t>(::syscall(SYS_gettid)), kNice);
      work();
    });
  } catch (...) {
    stop();
    throw;
  }
}

void Loader::Impl::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  work_.notify_all();
  for (std::thread& thread : threads_) thread.join();
  threads_.clear();
  slots_.clear();
  error_ = nullptr;
}

LoaderPosition Loader::Impl::after(const LoaderPosition& position) const {
  if (position.batch + 1 < batches_per_epoch()) return {position.epoch, position.batch + 1};
  return {position.epoch + 1, 0};
}

Slot Loader::Impl::make_slot(const LoaderPosition& position) {
  const int64_t n = options_.places, size = options_.image_size;
  Slot slot;
  slot.batch.images = Tensor::empty(memory_, {n, size, size, 3}, DType::u8);
  slot.batch.captions.resize(static_cast<size_t>(n));
  slot.batch.words = Tensor::empty(memory_, {n, std::tuple_size_v<WordSet>}, DType::i32);
  if (options_.tokenizer != nullptr)
    slot.batch.tokens = Tensor::empty(memory_, {n, options_.context_length}, DType::i32);
  slot.batch.epoch = position.epoch;
  slot.batch.index = position.batch;
  return slot;
}

// The first slot with places left, with the mutex held.
Slot* Loader::Impl::slot_with_work() {
  for (Slot& slot : slots_) {
    if (slot.next_place < options_.places) return &slot;
  }
  if (std::ssize(slots_) >= options_.prefetch) return nullptr;
  slots_.push_back(make_slot(next_to_start_));
  next_to_start_ = after(next_to_start_);
  return &slots_.back();
}

// What a worker does until it is told to stop or anything at all fails: an exception that left the thread
// would end the process.
void Loader::Impl::work() {
  std::unique_lock lock(mutex_);
  try {
    for (;;) {
      Slot* slot = nullptr;
      work_.wait(lock, [&] { return stopping_ || error_ || (slot = slot_with_work()) != nullptr; });
      if (stopping_ || error_) return;
      const int64_t first = slot->next_place;
      const int64_t last = std::min(first + kChunk, options_.places);
      slot->next_place = last;
      lock.unlock();
      int64_t bad_samples = 0;
      fill(*slot, first, last, bad_samples);  // a deque's elements stay where they are
      lock.lock();
      slot->batch.bad_samples += bad_samples;
      slot->places_done += last - first;
      if (slot->places_done == options_.places) ready_.notify_one();
    }
  } catch (...) {
    if (!lock.owns_lock()) lock.lock();
    if (!error_) error_ = std::current_exception();
    ready_.notify_one();
    work_.notify_all();
  }
}

// The first good sample at or after `index`, wrapping around at the end.
int64_t Loader::Impl::good_sample(int64_t index, const DecodedSample*& sample, DecodedSample& spare) {
  for (int64_t tried = 0; tried < dataset_.size(); ++tried) {
    sample = store_.get(index, spare);
    if (sample != nullptr) return index;
    check_bad_fraction();
    index = (index + 1) % dataset_.size();
  }
  fail_input("{}: every sample is bad: {}", dataset_.describe(), bad().summary());
}

void Loader::Impl::fill(Slot& slot, int64_t first, int64_t last, int64_t& bad_samples) {
  const auto epoch = static_cast<uint64_t>(slot.batch.epoch);
  const Permutation shuffle(dataset_.size(), options_.seed, epoch);
  const int64_t begin = slot.batch.index * options_.batch_size + options_.first_place;
  const int64_t bytes = int64_t{options_.image_size} * options_.image_size * 3;
  const TrainingTransform usual{.size = options_.image_size,
                                .scale_min = options_.scale_min,
                                .scale_max = options_.scale_max,
                                .flip_probability = options_.flip_probability};
  DecodedSample spare;
  for (int64_t place = first; place < last; ++place) {
    const int64_t wanted = shuffle(begin + place);
    const DecodedSample* sample = nullptr;
    const int64_t index = good_sample(wanted, sample, spare);
    bad_samples += index != wanted;
    // Keyed by the place's own sample: a stand-in is cropped unlike itself elsewhere in the epoch.
    SplitMix64 rng = sample_rng(options_.seed, epoch, static_cast<uint64_t>(wanted));
    const std::string& caption = sample->captions[rng.below(sample->captions.size())];
    TrainingTransform transform = usual;
    if (says_left_or_right(caption)) transform.flip_probability = 0;
    set_caption(slot.batch, place, caption, rng);
    training_pixels(sample->picture, transform, rng,
                    {slot.batch.images.data<uint8_t>() + place * bytes, static_cast<size_t>(bytes)});
  }
  if (options_.tokenizer != nullptr) tokenise(slot.batch, first, last);
}

void Loader::Impl::set_caption(Batch& batch, int64_t place, const std::string& caption,
                               SplitMix64& rng) const {
  std::string phrase = caption, text = caption;
  if (options_.caption_augment > 0 && rng.uniform() < options_.caption_augment) {
    const std::vector<std::string> parts = caption_parts(caption);
    if (!parts.empty()) {
      phrase = parts[rng.below(parts.size())];
      text = as_query(phrase, rng);
    }
  }
  batch.captions[static_cast<size_t>(place)] = std::move(text);
  const WordSet words = word_set(phrase);
  std::copy(words.begin(), words.end(), batch.words.data<int32_t>() + place * std::ssize(words));
}

// The captions of the places from `first` to before `last`.
void Loader::Impl::tokenise(Batch& batch, int64_t first, int64_t last) const {
  const auto captions = std::span<const std::string>(batch.captions)
                            .subspan(static_cast<size_t>(first), static_cast<size_t>(last - first));
  const std::vector<int32_t> tokens = options_.tokenizer->encode_padded(captions, options_.context_length);
  std::copy(tokens.begin(), tokens.end(), batch.tokens.data<int32_t>() + first * options_.context_length);
}

void Loader::Impl::check_bad_fraction() const {
  const int64_t left_out = dataset_.bad().count;
  const int64_t bad_samples = left_out + store_.bad_count();
  const auto all = static_cast<double>(dataset_.size() + left_out);
  if (static_cast<double>(bad_samples) <= options_.max_bad_fraction * all) return;
  fail_input("{}: more than {:.3g} of the samples are bad (--max-bad-fraction): {}", dataset_.describe(),
             options_.max_bad_fraction, bad().summary());
}

Batch Loader::Impl::next() {
  const double start = seconds_now();
  if (threads_.empty()) {
    Slot slot = make_slot(position_);
    fill(slot, 0, options_.places, slot.batch.bad_samples);
    position_ = after(position_);
    wait_seconds_ += seconds_now() - start;
    return std::move(slot.batch);
  }
  std::unique_lock lock(mutex_);
  ready_.wait(lock,
              [&] { return error_ || (!slots_.empty() && slots_.front().places_done == options_.places); });
  if (error_) std::rethrow_exception(error_);
  Batch batch = std::move(slots_.front().batch);
  slots_.pop_front();
  position_ = after(position_);
  lock.unlock();
  work_.notify_all();
  wait_seconds_ += seconds_now() - start;
  return batch;
}

void Loader::Impl::restore(const LoaderPosition& position) {
  CUCLIP_CHECK(position.epoch >= 0 && position.batch >= 0 && position.batch < batches_per_epoch(),
               "loader: there is no batch {} in epoch {}: an epoch has {}", position.batch, position.epoch,
               batches_per_epoch());
  stop();
  position_ = position;
  start();
}

BadSamples Loader::Impl::bad() const {
  BadSamples all = dataset_.bad();
  all.add(store_.bad());
  return all;
}

std::string Loader::Impl::describe() const {
  const std::string cache = cached_ ? fmt::format("pictures kept decoded at {} pixels", kept_edge(options_))
                                    : "pictures decoded each epoch";
  return fmt::format("{}; {} batches of {} per epoch; {}", dataset_.describe(), batches_per_epoch(),
                     options_.batch_size, cache);
}

Loader::Loader(const Dataset& dataset, const LoaderOptions& options)
    : impl_(std::make_unique<Impl>(dataset, options)) {}
Loader::~Loader() = default;

Batch Loader::next() { return impl_->next(); }
int64_t Loader::batches_per_epoch() const { return impl_->batches_per_epoch(); }
LoaderPosition Loader::position() const { return impl_->position(); }
void Loader::restore(const LoaderPosition& position) { impl_->restore(position); }
double Loader::wait_seconds() const { return impl_->wait_seconds(); }
BadSamples Loader::bad() const { return impl_->bad(); }
std::string Loader::describe() const { return impl_->describe(); }

}  // namespace cuclip
