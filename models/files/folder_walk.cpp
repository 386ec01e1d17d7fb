#include "models/files/folder_walk.h"

#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "kernels/common/check.h"
#include "models/files/file_names.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

constexpr PassedOver::Kind kHidden{"hidden file or folder", "hidden files and folders"};
constexpr PassedOver::Kind kUnreadableFolder{"unreadable folder", "unreadable folders"};
constexpr PassedOver::Kind kUnreadableFile{"unreadable file", "unreadable files"};
constexpr PassedOver::Kind kBrokenLink{"link that leads nowhere", "links that lead nowhere"};
constexpr PassedOver::Kind kVanished{"file that vanished meanwhile", "files that vanished meanwhile"};
constexpr PassedOver::Kind kLoop{"link to one of its own parent folders",
                                 "links to their own parent folders"};
constexpr PassedOver::Kind kSpecial{"entry that is neither file nor folder",
                                    "entries that are neither files nor folders"};

class Walker {
 public:
  explicit Walker(fs::path top) : top_(std::move(top)) {}

  FolderListing walk() {
    struct stat info {};
    std::error_code error;
    if (::stat(top_.c_str(), &info) != 0) error.assign(errno, std::generic_category());
    if (!error) error = list(fs::path(), info);
    CUCLIP_CHECK(!error, "cannot read the folder {}: {}", top_.string(), error.message());
    return std::move(listing_);
  }

 private:
  using Identity = std::pair<dev_t, ino_t>;

  std::string shown(const fs::path& name) const { return (top_ / name).string(); }

  void pass_over(const PassedOver::Kind& kind, const fs::path& name, const std::string& reason = "") {
    listing_.passed_over.add(kind, reason.empty() ? shown(name) : fmt::format("{}: {}", shown(name), reason));
  }

  // The entries of top_/folder and everything below them. Returns why the folder could not be read (or not
  // all of it), or nothing.
  std::error_code list(const fs::path& folder, const struct stat& info) {
    const Identity identity{info.st_dev, info.st_ino};
    if (std::find(on_the_way_.begin(), on_the_way_.end(), identity) != on_the_way_.end()) {
      pass_over(kLoop, folder);
      return {};
    }
    std::error_code error;
    std::vector<fs::path> names;
    for (fs::directory_iterator entry(top_ / folder, error), end; !error && entry != end;
         entry.increment(error)) {
      names.push_back(entry->path().filename());
    }
    std::sort(names.begin(), names.end());
    if (!folder.empty() && !(error && names.empty())) listing_.folders.push_back(folder);
    on_the_way_.push_back(identity);
    for (const fs::path& name : names) take(folder / name);
    on_the_way_.pop_back();
    return error;
  }

  void take(const fs::path& name) {
    if (is_leftover(name.native())) return pass_over(kHidden, name);
    struct stat info {};
    if (::stat((top_ / name).c_str(), &info) != 0) return take_unknown(name, errno);
    if (S_ISREG(info.st_mode)) {
      listing_.files.push_back({.name = name, .stamp = stamp_of(info)});
    } else if (!S_ISDIR(info.st_mode)) {
      pass_over(kSpecial, name);
    } else if (const std::error_code error = list(name, info)) {
      pass_over(kUnreadableFolder, name, error.message());
    }
  }

  void take_unknown(const fs::path& name, int reason) {
    struct stat link {};
    if (reason == ENOENT && ::lstat((top_ / name).c_str(), &link) != 0)  // since the folder was listed
      return pass_over(kVanished, name);
    if (reason != ENOENT && reason != ELOOP) return pass_over(kUnreadableFile, name, std::strerror(reason));
    pass_over(kBrokenLink, name);
    listing_.broken_links.push_back(name);
  }

  fs::path top_;
  FolderListing listing_;
  std::vector<Identity> on_the_way_;  // the folders from the top to the one that is being listed
};

}  // namespace

FolderListing walk_folder(const fs::path& folder) { return Walker(folder).walk(); }

}  // namespace cuclip
