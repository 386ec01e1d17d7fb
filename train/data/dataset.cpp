#include "train/data/dataset.h"

#include <fmt/format.h>
#include <utf8proc.h>

#include <algorithm>

#include "core/file_io.h"
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
  CUCLIP_CHECK(path_exists(spec), "no data set at {}: no such file or folder", printable(spec));
  fail_input(
      "{} is not a data set: expected .tar shards (shards-{{000..012}}.tar), a .csv or .tsv, a folder, or "
      "synthetic:shapes",
      printable(spec));
}

}  // namespace

std::unique_ptr<Dataset> open_dataset(const std::string& spec, const DatasetOptions& options) {
  CUCLIP_CHECK(!spec.empty(), "expected a data set, found an empty name");
  std::vector<std::unique_ptr<Dataset>> parts;
  for (const std::string& part : joined_specs(spec)) parts.push_back(open_one(part, options));
  std::unique_ptr<Dataset> dataset =
      parts.size() == 1 ? std::move(parts[0]) : std::make_unique<JoinedDataset>(std::move(parts));
  CUCLIP_CHECK(dataset->size() > 0, "{}: no usable sample; left out: {}{}{}", spec, dataset->bad().summary(),
               dataset->notes().empty() ? "" : "\n", fmt::join(dataset->notes(), "\n"));
  return dataset;
}

std::string printable(std::string_view name) {
  constexpr size_t kLongest = 200;
  std::string out;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(name.data());
  auto left = static_cast<utf8proc_ssize_t>(name.size());
  while (left > 0 && out.size() < kLongest) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t length = std::max<utf8proc_ssize_t>(utf8proc_iterate(bytes, left, &c), 1);
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);  // c is -1 where the bytes are no UTF-8
    if (control) {
      out += '?';
    } else {
      out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
    }
    bytes += length;
    left -= length;
  }
  return left > 0 ? out + "..." : out;
}

}  // namespace cuclip
