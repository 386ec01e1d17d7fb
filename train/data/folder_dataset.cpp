// A folder of pictures, with a captions.csv or captions.tsv in it or, beside each picture (in sub-folders
// too), a .txt or .json file with the same stem. The folder walk decides which files there are.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/counted.h"
#include "core/file_io.h"
#include "models/files/folder_walk.h"
#include "models/files/names.h"
#include "train/data/dataset.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Entry {
  FoundFile picture;  // names are relative to the folder; empty: not there
  fs::path text, json;
};

// Only one of a.jpg, a.JPG and a.png can have the caption: one whose extension is in lower case, and among
// these the one whose name sorts first.
bool goes_before(const fs::path& a, const fs::path& b) {
  const auto rank = [](const fs::path& name) { return name.extension() != lower_extension(name.native()); };
  return rank(a) != rank(b) ? rank(a) < rank(b) : a < b;
}

fs::path stem_of(const fs::path& name) { return name.parent_path() / name.stem(); }

class FolderDataset final : public Dataset {
 public:
  FolderDataset(const fs::path& folder, const FolderListing& listing, const DatasetOptions& options)
      : folder_(folder), max_caption_bytes_(options.max_caption_bytes) {
    notes_ = listing.passed_over.notes(folder.string());
    std::map<std::string, Entry> found;
    for (const FoundFile& file : listing.files) collect(file, found);
    for (const fs::path& link : listing.broken_links) {
      const auto at = found.find(stem_of(link).string());
      if (!has_picture_extension(link.native()) || at == found.end() || !at->second.picture.name.empty())
        continue;
      bad_.add("no picture",
               fmt::format("{}: the link leads nowhere", shortened_name((folder / link).string())));
    }
    for (auto& [key, entry] : found) {
      if (entry.picture.name.empty()) continue;  // a text file beside pictures need not be a caption
      if (entry.text.empty() && entry.json.empty()) {
        bad_.add("no caption", fmt::format("{}: expected {}.txt or .json beside it, found neither",
                                           shortened_name((folder_ / entry.picture.name).string()),
                                           shortened_name(fs::path(key).filename().string())));
        continue;
      }
      keys_.push_back(key);
      entries_.push_back(std::move(entry));
    }
  }

  int64_t size() const override { return std::ssize(entries_); }
  std::string key(int64_t index) const override { return keys_.at(static_cast<size_t>(index)); }
  int64_t picture_bytes(int64_t index) const override { return at(index).picture.stamp.bytes; }

  Sample load(int64_t index) const override {
    Sample sample{.key = key(index), .picture = std::string(), .captions = captions(index)};
    sample.picture = read(at(index).picture.name);
    return sample;
  }

  std::vector<std::string> captions(int64_t index) const override {
    CaptionFiles files;
    if (!at(index).json.empty()) files.json = read(at(index).json);
    if (!at(index).text.empty()) files.text = read(at(index).text);
    return read_caption_files(files, shortened_name((folder_ / at(index).picture.name).string()),
                              max_caption_bytes_);
  }

  std::string describe() const override {
    return fmt::format("{}: {} with captions", folder_.string(), counted(size(), "picture"));
  }

 private:
  const Entry& at(int64_t index) const { return entries_.at(static_cast<size_t>(index)); }

  void collect(const FoundFile& file, std::map<std::string, Entry>& found) {
    const std::string extension = lower_extension(file.name.native());
    const bool picture = is_picture_extension(extension);
    if (!picture && !is_caption_extension(extension)) return;
    Entry& entry = found[stem_of(file.name).string()];
    if (picture) {
      if (takes_place(entry.picture.name, file.name, "repeated picture", "caption")) entry.picture = file;
    } else {
      fs::path& place = extension == ".txt" ? entry.text : entry.json;
      if (takes_place(place, file.name, "repeated caption file", "picture")) place = file.name;
    }
  }

  // Whether `file` takes the place of `holder` (empty: nobody); the loser is counted.
  bool takes_place(const fs::path& holder, const fs::path& file, const char* reason, const char* shared) {
    if (holder.empty()) return true;
    const bool takes = goes_before(file, holder);
    bad_.add(reason, fmt::format("{}: {} has another extension and the same {}",
                                 shortened_name((folder_ / (takes ? holder : file)).string()),
                                 shortened_name((takes ? file : holder).string()), shared));
    return takes;
  }

  std::string read(const fs::path& file) const {
    try {
      return read_file(folder_ / file);
    } catch (const InputError& error) {
      throw SampleError("unreadable file", error.what());
    }
  }

  fs::path folder_;
  int64_t max_caption_bytes_;
  std::vector<std::string> keys_;
  std::vector<Entry> entries_;
};

// The folder's own list of captions, whatever the case of its extension; empty if it has none.
fs::path caption_table(const FolderListing& listing) {
  fs::path table;
  for (const FoundFile& file : listing.files) {
    const std::string extension = lower_extension(file.name.native());
    if (file.name.has_parent_path() || file.name.stem() != "captions") continue;
    if (extension != ".csv" && extension != ".tsv") continue;
    if (table.empty() || goes_before(file.name, table)) table = file.name;
  }
  return table;
}

}  // namespace

std::unique_ptr<Dataset> open_folder_dataset(const std::string& path, const DatasetOptions& options) {
  const FolderListing listing = walk_folder(path);
  const fs::path table = caption_table(listing);
  if (!table.empty()) return open_csv_dataset((fs::path(path) / table).string(), options);
  return std::make_unique<FolderDataset>(path, listing, options);
}

}  // namespace cuclip
