#include "models/files/picture_files.h"

#include <fmt/format.h>

#include "kernels/common/check.h"
#include "models/files/file_names.h"
#include "models/files/folder_walk.h"

namespace cuclip {

std::vector<PictureFile> list_pictures(const std::filesystem::path& folder, std::vector<std::string>& notes) {
  const FolderListing listing = walk_folder(folder);
  const std::vector<std::string> passed_over = listing.passed_over.notes(folder.string());
  std::vector<PictureFile> pictures;
  for (const FoundFile& file : listing.files) {
    if (has_picture_extension(file.name.native()))
      pictures.push_back({.name = file.name, .stamp = file.stamp});
  }
  CUCLIP_CHECK(!pictures.empty(), "{}: found no picture ({}) in this folder or below{}{}", folder.string(),
               fmt::join(picture_extensions(), ", "), passed_over.empty() ? "" : "\n",
               fmt::join(passed_over, "\n"));
  notes.insert(notes.end(), passed_over.begin(), passed_over.end());
  return pictures;
}

std::vector<std::filesystem::path> find_pictures(const std::filesystem::path& folder,
                                                 std::vector<std::string>& notes) {
  std::vector<std::filesystem::path> paths;
  for (const PictureFile& picture : list_pictures(folder, notes)) paths.push_back(folder / picture.name);
  return paths;
}

}  // namespace cuclip
