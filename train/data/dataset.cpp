#include "train/data/dataset.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "core/file_io.h"
#include "models/files/names.h"
#include "train/data/synthetic.h"

namespace cuclip {
namespace {

// Several sources, one after the other.
class JoinedDataset final : public Dataset {
 public:
  explicit JoinedDataset(std::vector<std::unique_ptr<Dataset>> parts) : parts_(std::move(parts)) {
    for (const auto& part : parts_) {
      starts_.push_back(size_);
      size_ += part->size();
      bad_.add(part->bad());
      notes_.insert(notes_.end(), part->notes().begin(), part->notes().end());
    }
  }

  int64_t size() const override { return size_; }
  Sample load(int64_t index) const override {
    const size_t part = part_of(index);
    return parts_[part]->load(index - starts_[part]);
  }
  std::string key(int64_t index) const override {
    const size_t part = part_of(index);
    return parts_[part]->key(index - starts_[part]);
  }
  int64_t picture_bytes(int64_t index) const override {
    const size_t part = part_of(index);
    return parts_[part]->picture_bytes(index - starts_[part]);
  }
  std::vector<std::string> captions(int64_t index) const override {
    const size_t part = part_of(index);
    return parts_[part]->captions(index - starts_[part]);
  }
  std::vector<CaptionsOrReason> captions_of(int64_t first, int64_t count) const override {
    std::vector<CaptionsOrReason> all;
    while (count > 0) {
      const size_t part = part_of(first);
      const int64_t start = first - starts_[part];
      const int64_t here = std::min(count, parts_[part]->size() - start);
      std::vector<CaptionsOrReason> some = parts_[part]->captions_of(start, here);
      std::move(some.begin(), some.end(), std::back_inserter(all));
      first += here;
      count -= here;
    }
    return all;
  }
  std::string describe() const override {
    std::string text;
    for (const auto& part : parts_) text += (text.empty() ? "" : "; ") + part->describe();
    return text;
  }

 private:
  size_t part_of(int64_t index) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), index);
    return static_cast<size_t>(after - starts_.begin()) - 1;
  }

  std::vector<std::unique_ptr<Dataset>> parts_;
  std::vector<int64_t> starts_;
  int64_t size_ = 0;
};

std::unique_ptr<Dataset> open_one(const std::string& spec, const DatasetOptions& options) {
  constexpr std::string_view kSynthetic = "synthetic:";
  if (spec.compare(0, kSynthetic.size(), kSynthetic) == 0) return open_synthetic_dataset(spec);
  if (is_folder(spec)) return open_folder_dataset(spec, options);
  const std::string extension = lower_extension(spec);
  if (extension == ".csv" || extension == ".tsv") return open_csv_dataset(spec, options);
  if (extension == ".tar") return open_tar_dataset(shard_names(spec), options);
  CUCLIP_CHECK(path_exists(spec), "no data set at {}: no such file or folder", shortened_name(spec));
  fail_input(
      "{} is not a data set: expected .tar shards (shards-{{000..012}}.tar), a .csv or .tsv, a folder, or "
      "synthetic:shapes",
      shortened_name(spec));
}

}  // namespace

std::vector<CaptionsOrReason> Dataset::collect_captions(
    int64_t first, int64_t count, const std::function<std::vector<std::string>(int64_t)>& read) {
  std::vector<CaptionsOrReason> all(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    CaptionsOrReason& sample = all[static_cast<size_t>(i)];
    try {
      sample.captions = read(first + i);
    } catch (const SampleError& error) {
      sample.reason = error.reason();
    }
  }
  return all;
}

std::vector<CaptionsOrReason> Dataset::captions_of(int64_t first, int64_t count) const {
  return collect_captions(first, count, [this](int64_t index) { return captions(index); });
}

std::unique_ptr<Dataset> open_dataset(const std::string& spec, const DatasetOptions& options) {
  CUCLIP_CHECK(!spec.empty(), "expected a data set, found an empty name");
  std::vector<std::unique_ptr<Dataset>> parts;
  for (const std::string& part : joined_specs(spec)) {
    CUCLIP_CHECK(!part.empty(), "{}: expected data sets joined with \"::\", found an empty name",
                 shortened_name(spec));
    parts.push_back(open_one(part, options));
  }
  std::unique_ptr<Dataset> dataset =
      parts.size() == 1 ? std::move(parts[0]) : std::make_unique<JoinedDataset>(std::move(parts));
  CUCLIP_CHECK(dataset->size() > 0, "{}: no usable sample; left out: {}{}{}", shortened_name(spec),
               dataset->bad().summary(), dataset->notes().empty() ? "" : "\n",
               fmt::join(dataset->notes(), "\n"));
  return dataset;
}

}  // namespace cuclip
