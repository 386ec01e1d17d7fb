// The only place where folders of pictures are listed: for data sets and their tables of captions, the index,
// class folders, collections.
//
// - A name is the one in the folder. Links are followed for their contents, never for the name that they lead
//   to: a link "a.jpg" to "../pool/00017" is a.jpg. Names are bytes, whatever their encoding.
// - Linked sub-folders are walked like others, unless they lead back to a folder on the way there.
// - What systems leave beside people's files (is_leftover) is passed over, with everything in it.
// - What cannot be read is passed over too, and the walk continues.
// - The order does not depend on how the file system lists.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "core/file_io.h"
#include "models/files/passed_over.h"

namespace cuclip {

struct FoundFile {
  std::filesystem::path name;  // relative to the folder
  FileStamp stamp;             // of what a link leads to
};

struct FolderListing {
  std::vector<FoundFile> files;                     // regular files, and links to some; sorted by name
  std::vector<std::filesystem::path> folders;       // that were walked, relative, sorted
  std::vector<std::filesystem::path> broken_links;  // relative, sorted; among what was passed over
  PassedOver passed_over;                           // hidden, unreadable, links that lead nowhere or back
};

/// Everything in a folder and below it. Throws InputError naming the folder and the system's reason where the
/// folder itself cannot be read.
FolderListing walk_folder(const std::filesystem::path& folder);

}  // namespace cuclip
