#include "models/inference/folder_indexer.h"

#include <sys/stat.h>
#include <xxhash.h>

#include <algorithm>
#include <chrono>
#include <map>
#include <utility>

#include "models/image/image_decode.h"
#include "models/image/image_transform.h"

namespace cuclip {
namespace {

constexpr int64_t kSecond = 1'000'000'000;

// A file that is written to twice within one tick of the file system's clock has the same time afterwards.
// FAT's takes two seconds, the longest there is. So the time of a file that is as young as that when it is
// read says nothing.
constexpr int64_t kLongestTick = 2 * kSecond;

int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(
             std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// The same for a folder with and without a slash at its end.
std::string absolute_name(const std::filesystem::path& path) {
  const std::filesystem::path normal = std::filesystem::absolute(path).lexically_normal();
  return (normal.has_filename() ? normal : normal.parent_path()).string();
}

// A file system that is unmounted leaves an empty folder behind, which is another one.
std::pair<dev_t, ino_t> identity_of(const std::filesystem::path& folder) {
  struct stat info {};
  if (::stat(folder.c_str(), &info) != 0) return {};
  return {info.st_dev, info.st_ino};
}

// Stamps that files of different contents have: they do not tell those files apart.
std::set<std::pair<int64_t, int64_t>> ambiguous_stamps(std::span<const IndexedFile> files) {
  std::map<std::pair<int64_t, int64_t>, uint64_t> first;
  std::set<std::pair<int64_t, int64_t>> ambiguous;
  for (const auto& [stamp, xxh3] : files) {
    const std::pair key(stamp.bytes, stamp.mtime_ns);
    if (first.try_emplace(key, xxh3).first->second != xxh3) ambiguous.insert(key);
  }
  return ambiguous;
}

}  // namespace

FeatureIndex index_to_make(const std::filesystem::path& folder, const ClipModel& model,
                           const std::string& model_spec, Precision precision) {
  FeatureIndex about;
  about.source = absolute_name(folder);
  about.model = path_exists(model_spec) ? absolute_name(model_spec) : model_spec;
  about.model_fingerprint = model.fingerprint();
  about.precision = word(precision);
  about.batch_invariant = model.options().batch_invariant;
  return about;
}

std::string why_not_reusable(const FeatureIndex& earlier, const FeatureIndex& wanted, int64_t width) {
  if (earlier.is_folder != wanted.is_folder) {
    return fmt::format("is the index of a {}", earlier.is_folder ? "folder" : "data set");
  }
  if (earlier.model_fingerprint != wanted.model_fingerprint)
    return fmt::format("was made with other weights ({})", earlier.model);
  if (earlier.features.size(1) != width)
    return fmt::format("is damaged: its features have {} elements, not {}", earlier.features.size(1), width);
  if (earlier.files.empty()) return "does not say which contents its files had (an earlier cuclip made it)";
  if (earlier.precision != wanted.precision)
    return fmt::format("was made with precision {}, not {}", earlier.precision, wanted.precision);
  if (wanted.batch_invariant && !earlier.batch_invariant)
    return "was made by a model that was not loaded to be batch-invariant";
  if (earlier.stored != wanted.stored) {
    const auto name = [](DType type) { return type == DType::bf16 ? "bf16" : "fp32"; };
    return fmt::format("stores {}, not {}", name(earlier.stored), name(wanted.stored));
  }
  return "";
}

// What reading a file gave: `reason` it could not be, an earlier row with the same contents, or pixels.
struct FolderIndexer::Loaded {
  IndexedFile file;
  int64_t earlier_row = -1;
  std::vector<uint8_t> pixels;
  std::string damage;
  std::string reason;
};

// Pictures that wait to be encoded.
struct FolderIndexer::Batch {
  std::vector<std::pair<int64_t, IndexedFile>> files;
  std::vector<uint8_t> pixels;
};

FolderIndexer::FolderIndexer(const ClipModel& model, FeatureIndex about, std::filesystem::path folder,
                             std::vector<PictureFile> files, std::optional<FeatureIndex> earlier)
    : model_(model),
      about_(std::move(about)),
      folder_(std::move(folder)),
      files_(std::move(files)),
      earlier_(std::move(earlier)),
      same_source_(earlier_ && earlier_->source == about_.source),
      identity_(identity_of(folder_)),
      rows_(files_.size()),
      used_(earlier_ ? earlier_->names.size() : 0) {
  for (int64_t row = 0; row < std::ssize(used_); ++row) {
    row_of_name_.emplace(earlier_->names[static_cast<size_t>(row)], row);
    row_of_hash_.emplace(earlier_->files[static_cast<size_t>(row)].xxh3, row);
  }
  if (earlier_) ambiguous_ = ambiguous_stamps(earlier_->files);
  for (int64_t i = 0; i < std::ssize(files_); ++i) {
    const std::string& name = files_[static_cast<size_t>(i)].name.native();
    place_of_name_.emplace(name, i);
    if (is_unchanged(i)) {
      const int64_t row = row_of_name_.at(name);
      reuse(i, earlier_->files[static_cast<size_t>(row)], row);
    } else {
      to_do_.push_back(i);
    }
  }
}

const float* FolderIndexer::earlier_features(int64_t row) const {
  return earlier_->features.data<float>() + row * earlier_->features.size(1);
}

bool FolderIndexer::is_unchanged(int64_t file) const {
  const PictureFile& found = files_[static_cast<size_t>(file)];
  const auto row = row_of_name_.find(found.name);
  return same_source_ && row != row_of_name_.end() &&
         earlier_->files[static_cast<size_t>(row->second)].stamp == found.stamp &&
         !ambiguous_.contains({found.stamp.bytes, found.stamp.mtime_ns});
}

// An earlier row of the same contents, the one of the same name if that is one; -1 if there is none.
int64_t FolderIndexer::find_contents(int64_t file, const IndexedFile& contents) const {
  const auto has_them = [&](int64_t row) {
    const IndexedFile& earlier = earlier_->files[static_cast<size_t>(row)];
    return earlier.xxh3 == contents.xxh3 && earlier.stamp.bytes == contents.stamp.bytes;
  };
  const auto namesake = row_of_name_.find(files_[static_cast<size_t>(file)].name);
  if (namesake != row_of_name_.end() && has_them(namesake->second)) return namesake->second;
  const auto other = row_of_hash_.find(contents.xxh3);
  return other != row_of_hash_.end() && has_them(other->second) ? other->second : -1;
}

FolderIndexer::Loaded FolderIndexer::load(int64_t file) const {
  Loaded loaded;
  const std::filesystem::path path = folder_ / files_[static_cast<size_t>(file)].name;
  try {
    const int64_t now = now_ns();
    const StampedContents read = read_stamped_file(path);
    loaded.file = {.stamp = read.stamp, .xxh3 = XXH3_64bits(read.contents.data(), read.contents.size())};
    if (read.stamp.mtime_ns > now - kLongestTick) loaded.file.stamp.mtime_ns = kNoTime;
    loaded.earlier_row = find_contents(file, loaded.file);
    if (loaded.earlier_row >= 0) return loaded;
    Image image = decode_image(std::as_bytes(std::span<const char>(read.contents)), path.string());
    const EvaluationTransform transform = model_.config().evaluation_transform();
    loaded.pixels.resize(static_cast<size_t>(transform.size) * static_cast<size_t>(transform.size) * 3);
    evaluation_pixels(image, transform, loaded.pixels);
    loaded.damage = std::move(image.damage);
  } catch (const InputError& error) {
    loaded.reason = path_exists(path)
                        ? error.what()
                        : fmt::format("{}: it has gone since the folder was listed", path.string());
  }
  return loaded;
}

void FolderIndexer::reuse(int64_t file, const IndexedFile& contents, int64_t earlier_row) {
  rows_[static_cast<size_t>(file)] = {
      .state = State::indexed, .file = contents, .features = earlier_features(earlier_row)};
  used_[static_cast<size_t>(earlier_row)] = true;
  const bool same_name =
      earlier_->names[static_cast<size_t>(earlier_row)] == files_[static_cast<size_t>(file)].name;
  ++(same_name ? counts_.unchanged : counts_.moved);
}

void FolderIndexer::take(int64_t file, Loaded loaded, Batch& batch) {
  if (!loaded.reason.empty()) {
    rows_[static_cast<size_t>(file)].state = State::passed_over;
    passed_over_.push_back({.index = file,
                            .reason = std::move(loaded.reason),
                            .path = folder_ / files_[static_cast<size_t>(file)].name});
    ++done_;
  } else if (loaded.earlier_row >= 0) {
    reuse(file, loaded.file, loaded.earlier_row);
    ++done_;
  } else {
    batch.files.emplace_back(file, loaded.file);
    batch.pixels.insert(batch.pixels.end(), loaded.pixels.begin(), loaded.pixels.end());
    if (!loaded.damage.empty()) damaged_.push_back(std::move(loaded.damage));
  }
}

// The first of those that wait, at most kPictureBatch.
void FolderIndexer::encode(Batch& batch) {
  const int64_t count = std::min(kPictureBatch, std::ssize(batch.files));
  const size_t bytes = batch.pixels.size() / batch.files.size() * static_cast<size_t>(count);
  std::vector<float> features = encode_pixels(model_, std::span(batch.pixels).first(bytes)).to_floats();
  {
    const std::lock_guard lock(mutex_);
    const float* next = encoded_.emplace_back(std::move(features)).data();
    for (const auto& [file, contents] : std::span(batch.files).first(static_cast<size_t>(count))) {
      rows_[static_cast<size_t>(file)] = {.state = State::indexed, .file = contents, .features = next};
      next += model_.config().embed_dim;
    }
    counts_.encoded += count;
    done_ += count;
  }
  batch.files.erase(batch.files.begin(), batch.files.begin() + count);
  batch.pixels.erase(batch.pixels.begin(), batch.pixels.begin() + static_cast<std::ptrdiff_t>(bytes));
}

void FolderIndexer::run(const EncodeProgress& progress) {
  Batch batch;
  for (int64_t first = 0; first < to_do(); first += kPictureBatch) {
    const int64_t count = std::min(kPictureBatch, to_do() - first);
    std::vector<Loaded> loaded(static_cast<size_t>(count));
    model_.context().pool()->run(count, [&](int64_t i, int) {
      loaded[static_cast<size_t>(i)] = load(to_do_[static_cast<size_t>(first + i)]);
    });
    // Files that have gone leave the index; not so if all have gone with the drive that they were on.
    const bool failed =
        std::any_of(loaded.begin(), loaded.end(), [](const Loaded& file) { return !file.reason.empty(); });
    CUCLIP_CHECK(!failed || identity_of(folder_) == identity_,
                 "{}: the folder went away while it was indexed; when it is back, do the same again",
                 folder_.string());
    {
      const std::lock_guard lock(mutex_);
      for (int64_t i = 0; i < count; ++i)
        take(to_do_[static_cast<size_t>(first + i)], std::move(loaded[static_cast<size_t>(i)]), batch);
    }
    const int64_t enough = first + count == to_do() ? 1 : kPictureBatch;
    while (std::ssize(batch.files) >= enough) encode(batch);
    if (progress) progress(done());
  }
  if (passed_over_.size() == files_.size()) fail_none_readable(std::ssize(files_), passed_over_.front());
  count_removed();
}

void FolderIndexer::count_removed() {
  for (int64_t row = 0; row < std::ssize(used_); ++row) {
    const bool is_listed = place_of_name_.contains(earlier_->names[static_cast<size_t>(row)]);
    if (!is_listed && !used_[static_cast<size_t>(row)]) ++counts_.removed;
  }
}

int64_t FolderIndexer::done() const {
  const std::lock_guard lock(mutex_);
  return done_;
}

FeatureIndex FolderIndexer::snapshot() const {
  FeatureIndex index = about_;
  std::vector<const float*> features;
  const auto add = [&](const std::string& name, const IndexedFile& file, const float* from) {
    index.rows.push_back(std::ssize(index.names));
    index.names.push_back(name);
    index.files.push_back(file);
    features.push_back(from);
  };
  const std::lock_guard lock(mutex_);
  for (size_t i = 0; i < files_.size(); ++i) {
    if (rows_[i].state == State::indexed) add(files_[i].name, rows_[i].file, rows_[i].features);
  }
  index.missing = to_do() - done_;
  for (int64_t row = 0; index.missing > 0 && row < std::ssize(used_); ++row) {
    const std::string& name = earlier_->names[static_cast<size_t>(row)];
    const auto place = place_of_name_.find(name);
    // A file that is still to do may be the same, or have been moved from a name that is no longer listed.
    const bool is_needed = place == place_of_name_.end()
                               ? !used_[static_cast<size_t>(row)]
                               : rows_[static_cast<size_t>(place->second)].state == State::to_do;
    if (!is_needed) continue;
    IndexedFile file = earlier_->files[static_cast<size_t>(row)];
    if (!same_source_) file.stamp.mtime_ns = kNoTime;  // it was that of a file in another folder
    add(name, file, earlier_features(row));
  }
  // Not in the model's context, which another thread may be using.
  Context memory(1);
  const int64_t width = model_.config().embed_dim;
  index.features = Tensor::empty(memory, {std::ssize(features), width}, DType::f32);
  float* to = index.features.data<float>();
  for (const float* from : features) to = std::copy_n(from, width, to);
  return index;
}

}  // namespace cuclip
