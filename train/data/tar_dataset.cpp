// WebDataset shards: members that share the part of their name before the first dot of its last component are
// one sample. The headers are read once; load() then reads at a known position, so that shuffling is over the
// whole set.
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <unordered_map>

#include "train/data/dataset.h"
#include "train/data/input_file.h"
#include "train/data/tar_index.h"

namespace cuclip {
namespace {

constexpr int64_t kMaxPictureBytes = int64_t{1} << 30;
constexpr int64_t kMaxCaptionFileBytes = 1 << 20;

struct Extent {
  int64_t offset = -1;
  int64_t size = 0;
  bool present() const { return offset >= 0; }
};

struct Entry {
  std::string key;
  int32_t shard = 0;
  Extent picture, text, json;
  bool captioned() const { return text.present() || json.present(); }
};

std::string lower(std::string_view text) {
  std::string out(text);
  for (char& c : out) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return out;
}

// "a/b.c/000.seg.jpg" -> {"a/b.c/000", "seg.jpg"}
std::pair<std::string_view, std::string_view> split_key(std::string_view name) {
  const size_t slash = name.rfind('/');
  const size_t dot = name.find('.', slash == std::string_view::npos ? 0 : slash + 1);
  if (dot == std::string_view::npos) return {name, {}};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

bool is_leftover(std::string_view name) {
  const size_t slash = name.rfind('/');
  const std::string_view base = slash == std::string_view::npos ? name : name.substr(slash + 1);
  return base.empty() || base.front() == '.' || base.substr(0, 2) == "__";  // ".DS_Store", "__meta__"
}

// Collects one shard's samples.
class ShardIndex {
 public:
  ShardIndex(int32_t shard, std::string path, BadSamples& bad)
      : shard_(shard), path_(std::move(path)), bad_(bad) {}

  void add(TarMember&& member) {
    if (is_leftover(member.name)) return;
    const auto [key, extension] = split_key(member.name);
    const std::string type = lower(extension);
    const bool picture = type == "jpg" || type == "jpeg" || type == "png";
    if (!picture && type != "txt" && type != "json")
      return;  // .cls, .npy and whatever else a shard may carry
    Entry& entry = find(std::string(key));
    Extent& extent = picture ? entry.picture : type == "txt" ? entry.text : entry.json;
    if (extent.present()) {
      return bad_.add("repeated member",
                      fmt::format("{}: {}: expected one {}, found another", path_, printable(member.name),
                                  picture ? "picture" : "caption"));
    }
    extent = {.offset = member.offset, .size = member.size};
  }

  void finish(std::vector<Entry>& all) {
    for (Entry& entry : entries_) {
      if (entry.picture.present() && entry.captioned()) {
        all.push_back(std::move(entry));
      } else {
        const char* reason = entry.picture.present() ? "no caption" : "no picture";
        const char* expected = entry.picture.present() ? "a .txt or .json" : "a .jpg, .jpeg or .png";
        bad_.add(reason, fmt::format("{}: {}: expected {} beside it, found none", path_, printable(entry.key),
                                     expected));
      }
    }
  }

 private:
  Entry& find(std::string key) {
    const auto [it, inserted] = by_key_.try_emplace(key, entries_.size());
    if (inserted) {
      entries_.emplace_back();
      entries_.back().key = std::move(key);
      entries_.back().shard = shard_;
    }
    return entries_[it->second];
  }

  int32_t shard_;
  std::string path_;
  BadSamples& bad_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> by_key_;
};

class TarDataset final : public Dataset {
 public:
  TarDataset(const std::vector<std::string>& shards, const DatasetOptions& options)
      : shards_(shards), max_caption_bytes_(options.max_caption_bytes) {
    int64_t links = 0;
    for (size_t i = 0; i < shards.size(); ++i) {
      const InputFile file(shards[i]);
      sizes_.push_back(file.size());
      ShardIndex index(static_cast<int32_t>(i), shards[i], bad_);
      links += walk_tar([&](int64_t offset, std::span<char> into) { return file.read_at(offset, into); },
                        file.size(), shards[i], [&](TarMember&& member) { index.add(std::move(member)); })
                   .links;
      index.finish(entries_);
    }
    for (const Entry& entry : entries_) {
      const int64_t facts[] = {entry.picture.offset, entry.picture.size, entry.text.size, entry.json.size};
      fingerprint_ = XXH64(entry.key.data(), entry.key.size(), fingerprint_);
      fingerprint_ = XXH64(facts, sizeof(facts), fingerprint_);
    }
    if (links > 0) bad_.add("link", fmt::format("{}: links are never followed", shards.front()), links);
  }

  int64_t size() const override { return std::ssize(entries_); }

  Sample load(int64_t index) const override {
    const Entry& entry = entries_.at(static_cast<size_t>(index));
    const InputFile file = open(entry);
    Sample sample{.key = entry.key, .picture = std::string(), .captions = read_captions(entry, file)};
    sample.picture = read(entry, file, entry.picture, kMaxPictureBytes);
    return sample;
  }

  std::vector<std::string> captions(int64_t index) const override {
    const Entry& entry = entries_.at(static_cast<size_t>(index));
    return read_captions(entry, open(entry));
  }

  std::string describe() const override {
    const std::string name = shards_.size() == 1 ? shards_[0] : fmt::format("{} shards", shards_.size());
    return fmt::format("{}: {} pictures with captions", name, size());
  }

  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  std::string name(const Entry& entry) const {
    return fmt::format("{}: {}", shards_[static_cast<size_t>(entry.shard)], printable(entry.key));
  }

  // Opened anew each time: thousands of shards would exceed the limit of open files.
  InputFile open(const Entry& entry) const {
    try {
      return InputFile(shards_[static_cast<size_t>(entry.shard)]);
    } catch (const InputError& error) {
      throw SampleError("unreadable file", error.what());
    }
  }

  std::string read(const Entry& entry, const InputFile& file, Extent extent, int64_t limit) const {
    if (file.size() != sizes_[static_cast<size_t>(entry.shard)]) {
      throw SampleError("shard changed",
                        fmt::format("{}: the shard had {} bytes when it was opened, now {}", name(entry),
                                    sizes_[static_cast<size_t>(entry.shard)], file.size()));
    }
    if (extent.size > limit) {
      throw SampleError("file too large", fmt::format("{}: expected at most {} bytes, found {}", name(entry),
                                                      limit, extent.size));
    }
    try {
      return file.read_exactly(extent.offset, extent.size);
    } catch (const InputError& error) {
      throw SampleError("unreadable file", fmt::format("{}: {}", name(entry), error.what()));
    }
  }

  std::vector<std::string> read_captions(const Entry& entry, const InputFile& file) const {
    CaptionFiles files;
    if (entry.json.present()) files.json = read(entry, file, entry.json, kMaxCaptionFileBytes);
    if (entry.text.present()) files.text = read(entry, file, entry.text, kMaxCaptionFileBytes);
    return read_caption_files(files, name(entry), max_caption_bytes_);
  }

  std::vector<std::string> shards_;
  std::vector<int64_t> sizes_;
  std::vector<Entry> entries_;
  int64_t max_caption_bytes_;
  uint64_t fingerprint_ = 0;
};

}  // namespace

std::unique_ptr<Dataset> open_tar_dataset(const std::vector<std::string>& shards,
                                          const DatasetOptions& options) {
  return std::make_unique<TarDataset>(shards, options);
}

}  // namespace cuclip
