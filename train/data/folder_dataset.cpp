// A folder of pictures: a captions.csv or captions.tsv in it, or beside each picture (in sub-folders too) a
// .txt or .json of the same stem.
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "core/file_io.h"
#include "train/data/dataset.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Entry {
  fs::path picture, text, json;  // relative to the folder; empty: not there
};

class FolderDataset final : public Dataset {
 public:
  FolderDataset(const fs::path& folder, const DatasetOptions& options)
      : folder_(folder), max_caption_bytes_(options.max_caption_bytes) {
    // A map: the order must not depend on how the file system lists a folder.
    std::map<std::string, Entry> found;
    const auto options_of_walk = fs::directory_options::skip_permission_denied;
    for (const fs::directory_entry& file : fs::recursive_directory_iterator(folder, options_of_walk)) {
      if (!file.is_regular_file()) continue;
      collect(fs::relative(file.path(), folder), found);
    }
    for (auto& [key, entry] : found) {
      const bool captioned = !entry.text.empty() || !entry.json.empty();
      if (entry.picture.empty()) continue;  // a text file beside pictures need not be a caption
      if (!captioned) {
        bad_.add("no caption",
                 fmt::format("{}: expected {}.txt or .json beside it, found neither",
                             (folder_ / entry.picture).string(), fs::path(key).filename().string()));
        continue;
      }
      fingerprint_ = XXH3_64bits_withSeed(key.data(), key.size(), fingerprint_);
      keys_.push_back(key);
      entries_.push_back(std::move(entry));
    }
  }

  int64_t size() const override { return std::ssize(entries_); }

  Sample load(int64_t index) const override {
    Sample sample{
        .key = keys_.at(static_cast<size_t>(index)), .picture = std::string(), .captions = captions(index)};
    sample.picture = read(entries_.at(static_cast<size_t>(index)).picture);
    return sample;
  }

  std::vector<std::string> captions(int64_t index) const override {
    const Entry& entry = entries_.at(static_cast<size_t>(index));
    CaptionFiles files;
    if (!entry.json.empty()) files.json = read(entry.json);
    if (!entry.text.empty()) files.text = read(entry.text);
    return read_caption_files(files, (folder_ / entry.picture).string(), max_caption_bytes_);
  }

  std::string describe() const override {
    return fmt::format("{}: {} pictures with captions", folder_.string(), size());
  }
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  void collect(const fs::path& file, std::map<std::string, Entry>& found) {
    const std::string key = (file.parent_path() / file.stem()).string();
    const std::string extension = file.extension().string();
    if (has_picture_extension(file.string())) {
      fs::path& picture = found[key].picture;
      if (picture.empty()) {
        picture = file;
      } else {  // x.jpg and x.png: the name that sorts first is used
        bad_.add("repeated picture", fmt::format("{}: {} has another extension and the same caption",
                                                 (folder_ / file).string(), picture.string()));
        picture = std::min(picture, file);
      }
    } else if (extension == ".txt") {
      found[key].text = file;
    } else if (extension == ".json") {
      found[key].json = file;
    }
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
  uint64_t fingerprint_ = 0;
};

}  // namespace

std::unique_ptr<Dataset> open_folder_dataset(const std::string& path, const DatasetOptions& options) {
  for (const char* name : {"captions.csv", "captions.tsv"}) {
    const fs::path csv = fs::path(path) / name;
    if (fs::is_regular_file(csv)) return open_csv_dataset(csv.string(), options);
  }
  return std::make_unique<FolderDataset>(path, options);
}

}  // namespace cuclip
