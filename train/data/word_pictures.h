// Collections of picture files that are named after what they show.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "train/data/collections.h"

namespace cuclip {

/// A folder of a collection whose files' names are words.
struct WordFolder {
  std::string folder;    // below the collection's
  std::string keywords;  // of all its pictures, separated by commas; may be empty
  bool drawing = true;   // RawPair::drawing
};

/// The PNG and JPEG files in (not below) the folders, with captions from their names, without what numbers
/// the pictures of a series: "Animals/dog2-b.png" is "dog, animal". Files without a word in their name count
/// as bad. A folder that is not there is a note. Throws InputError where none is there.
RawPairs list_word_pictures(const std::filesystem::path& folder, const std::string& name,
                            const std::vector<WordFolder>& folders);

/// EmojiOne's pictures: folder/assets/png/1F6B2.png, with names and keywords in folder/config/index.json.
RawPairs list_gemojione(const std::filesystem::path& folder);

// What there is in pysiogame's art4apps, qabcs-data's abcs/all/pics and scratch's Media.
std::vector<WordFolder> pysiogame_folders();
std::vector<WordFolder> qabcs_folders();
std::vector<WordFolder> scratch_folders();

}  // namespace cuclip
