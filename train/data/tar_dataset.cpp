// WebDataset shards: members that share the part of their name before the first dot of its last component are
// one sample, wherever they are in the archive. The headers are read once; load() then reads at a known
// position, so that the whole set can be shuffled.
#include <fmt/format.h>

#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/counted.h"
#include "core/input_file.h"
#include "models/files/names.h"
#include "models/files/passed_over.h"
#include "train/data/dataset.h"
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

constexpr PassedOver::Kind kHiddenMember{"hidden member", "hidden members"};
constexpr PassedOver::Kind kFurtherPicture{
    "additional picture in a pair that already has one (<key>.<more>.jpg)",
    "additional pictures in pairs that already have one (<key>.<more>.jpg)"};
constexpr PassedOver::Kind kForeignEnd{"piece of something else after the end of the archive, not read",
                                       "pieces of something else after the ends of the archives, not read"};
constexpr PassedOver::Kind kZeroEnd{
    "long run of zeros after the end of the archive (was the download complete?)",
    "long runs of zeros after the ends of the archives (were the downloads complete?)"};

// "a/b.c/000.seg.jpg" -> {"a/b.c/000", "seg.jpg"}
std::pair<std::string_view, std::string_view> split_key(std::string_view name) {
  const size_t dot = name.find('.', name.size() - last_part(name).size());
  if (dot == std::string_view::npos) return {name, {}};
  return {name.substr(0, dot), name.substr(dot + 1)};
}

// WebDataset's own "__meta__", and what systems leave behind.
bool is_passed_over(std::string_view name) {
  return is_leftover(name) || lies_in_leftovers(name) || last_part(name).starts_with("__");
}

// Collects the samples of one archive. The key ends at the first dot of the name, which is WebDataset's rule;
// a picture that finds no caption because of that is counted, and so is one whose place is taken.
class ArchiveIndex {
 public:
  ArchiveIndex(int32_t shard, std::string path, BadSamples& bad, PassedOver& passed_over)
      : shard_(shard), path_(std::move(path)), bad_(bad), passed_over_(passed_over) {}

  void add(TarMember&& member) {
    if (member.name.empty() || member.name.back() == '/') return;
    if (is_passed_over(member.name)) return passed_over_.add(kHiddenMember, shown(member.name));
    const std::string_view key = split_key(member.name).first;
    const std::string type = lower_ascii(member.name.substr(key.size()));
    const bool picture = is_picture_extension(type);
    if (!picture && !is_caption_extension(type)) return add_dotted(std::move(member.name), key);
    Entry& entry = find(std::string(key));
    Extent& extent = picture ? entry.picture : type == ".txt" ? entry.text : entry.json;
    if (extent.present()) {
      return bad_.add("repeated member", fmt::format("{}: expected one {}, found another", shown(member.name),
                                                     picture ? "picture" : "caption"));
    }
    extent = {.offset = member.offset, .size = member.size};
  }

  void finish(std::vector<Entry>& all) {
    for (const std::string& name : dotted_pictures_) finish_dotted(name);
    for (Entry& entry : entries_) {
      if (entry.picture.present() && entry.captioned()) {
        all.push_back(std::move(entry));
      } else if (entry.picture.present()) {
        const auto caption = dotted_captions_.find(entry.key);
        bad_.add("no caption",
                 fmt::format("{}: expected a .txt or .json beside it, found {}", shown(entry.key),
                             caption == dotted_captions_.end() ? "none" : shortened_name(caption->second)));
      } else if (said_.count(entry.key) == 0) {
        bad_.add("no picture", fmt::format("{}: expected a picture beside it ({}), found none",
                                           shown(entry.key), fmt::join(picture_extensions(), ", ")));
      }
    }
  }

 private:
  std::string shown(std::string_view name) const {
    return fmt::format("{}: {}", path_, shortened_name(name));
  }

  // A member like "000.seg.jpg" or "v1.2 name.txt"; .cls, .npy and whatever else a shard may carry are not
  // our concern.
  void add_dotted(std::string&& name, std::string_view key) {
    const std::string extension = lower_extension(name);
    if (is_caption_extension(extension)) {
      dotted_stems_.insert(name.substr(0, name.rfind('.')));
      dotted_captions_.try_emplace(std::string(key), std::move(name));
    } else if (is_picture_extension(extension)) {
      dotted_pictures_.push_back(std::move(name));
    }
  }

  void finish_dotted(const std::string& name) {
    const auto [key, extension] = split_key(name);
    const auto at = by_key_.find(std::string(key));
    const bool key_is_whole =
        at != by_key_.end() && entries_[at->second].picture.present() && entries_[at->second].captioned();
    // A caption with the same name except for the last extension: by any other rule, a pair.
    const bool is_pair = dotted_stems_.count(name.substr(0, name.rfind('.'))) > 0;
    if (key_is_whole && !is_pair) return passed_over_.add(kFurtherPicture, shown(name));
    said_.insert(std::string(key));
    constexpr const char* kReason = "name with several dots";
    const bool first = bad_.by_reason.count(kReason) == 0;  // the rule is explained once
    bad_.add(
        kReason,
        first ? fmt::format("{}: the key '{}' ends at the first dot of the name (WebDataset's rule), which "
                            "leaves the extension '{}', expected that of a picture: rename the members",
                            shown(name), shortened_name(key), shortened_name(extension))
              : fmt::format("{}: the extension is '{}'", shown(name), shortened_name(extension)));
  }

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
  PassedOver& passed_over_;
  std::vector<Entry> entries_;
  std::unordered_map<std::string, size_t> by_key_;

  // Members whose extension has a dot in it.
  std::vector<std::string> dotted_pictures_;
  std::unordered_map<std::string, std::string> dotted_captions_;  // the first of each key
  std::unordered_set<std::string> dotted_stems_;                  // names of captions without .txt or .json
  std::unordered_set<std::string> said_;                          // keys of dotted pictures that were counted
};

class TarDataset final : public Dataset {
 public:
  TarDataset(const std::vector<std::string>& shards, const DatasetOptions& options)
      : shards_(shards), max_caption_bytes_(options.max_caption_bytes) {
    PassedOver passed_over;
    for (size_t i = 0; i < shards.size(); ++i) list_shard(i, passed_over);
    notes_ = passed_over.notes(name());
  }

  int64_t size() const override { return std::ssize(entries_); }
  std::string key(int64_t index) const override { return entries_.at(static_cast<size_t>(index)).key; }
  int64_t picture_bytes(int64_t index) const override {
    return entries_.at(static_cast<size_t>(index)).picture.size;
  }

  Sample load(int64_t index) const override {
    const Entry& entry = entries_.at(static_cast<size_t>(index));
    const std::unique_ptr<const InputFile> file = open(entry);
    Sample sample{.key = entry.key, .picture = std::string(), .captions = read_captions(entry, *file)};
    sample.picture = read(entry, *file, entry.picture, kMaxPictureBytes);
    return sample;
  }

  std::vector<std::string> captions(int64_t index) const override {
    const Entry& entry = entries_.at(static_cast<size_t>(index));
    return read_captions(entry, *open(entry));
  }

  std::vector<CaptionsOrReason> captions_of(int64_t first, int64_t count) const override {
    int32_t shard = -1;
    std::unique_ptr<const InputFile> file;  // of that shard
    return collect_captions(first, count, [&](int64_t index) {
      const Entry& entry = entries_.at(static_cast<size_t>(index));
      if (shard != entry.shard) {
        shard = -1;  // while open() may throw
        file = open(entry);
        shard = entry.shard;
      }
      return read_captions(entry, *file);
    });
  }

  std::string describe() const override {
    return fmt::format("{}: {} with captions", name(), counted(size(), "picture"));
  }

 private:
  std::string name() const {
    return shards_.size() == 1 ? shards_[0] : counted(std::ssize(shards_), "shard");
  }

  void list_shard(size_t shard, PassedOver& passed_over) {
    constexpr int64_t kPadding = 1 << 20;  // writers fill up to blocks of this size at most
    const std::string& path = shards_[shard];
    const InputFile file(path);
    sizes_.push_back(file.size());
    std::optional<ArchiveIndex> index;
    const auto start_archive = [&] {
      if (index) index->finish(entries_);
      index.emplace(static_cast<int32_t>(shard), path, bad_, passed_over);
    };
    start_archive();
    int64_t archive = 0;
    const TarCounts counts = walk_tar(
        [&](int64_t offset, std::span<char> into) { return file.read_at(offset, into); }, file.size(), path,
        [&](TarMember&& member) {
          // Archives that were joined may number their samples alike.
          if (std::exchange(archive, member.archive) != member.archive) start_archive();
          index->add(std::move(member));
        });
    index->finish(entries_);
    if (counts.links > 0) {
      bad_.add("link",
               fmt::format("{}: {}: links are never followed", path, shortened_name(counts.first_link)),
               counts.links);
    }
    if (counts.foreign > 0) {
      passed_over.add(kForeignEnd, fmt::format("{}: {} bytes starting at byte {}", path, counts.foreign,
                                               counts.foreign_at));
    }
    if (counts.zeros > kPadding) passed_over.add(kZeroEnd, fmt::format("{}: {} bytes", path, counts.zeros));
  }

  std::string name(const Entry& entry) const {
    return fmt::format("{}: {}", shards_[static_cast<size_t>(entry.shard)], shortened_name(entry.key));
  }

  // None is kept open: thousands of shards would exceed the limit of open files.
  std::unique_ptr<const InputFile> open(const Entry& entry) const {
    try {
      return std::make_unique<InputFile>(shards_[static_cast<size_t>(entry.shard)]);
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
};

}  // namespace

std::unique_ptr<Dataset> open_tar_dataset(const std::vector<std::string>& shards,
                                          const DatasetOptions& options) {
  return std::make_unique<TarDataset>(shards, options);
}

}  // namespace cuclip
