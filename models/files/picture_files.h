// Which files are pictures.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/file_io.h"

namespace cuclip {

struct PictureFile {
  std::filesystem::path name;  // relative to the folder
  FileStamp stamp;             // when the folder was listed
};

/// Picture files in a folder and below it, by their extension (picture_extensions, in any case), sorted.
/// Links are followed, leftovers and what cannot be read passed over (folder_walk.h), which is
/// added to `notes` in one line for each kind. Throws InputError if it is not a folder that can be read or
/// holds none.
std::vector<PictureFile> list_pictures(const std::filesystem::path& folder, std::vector<std::string>& notes);

/// The same as paths that begin with the folder's.
std::vector<std::filesystem::path> find_pictures(const std::filesystem::path& folder,
                                                 std::vector<std::string>& notes);

}  // namespace cuclip
