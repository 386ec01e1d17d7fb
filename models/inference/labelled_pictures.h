// Pictures that have a class each, for zero-shot evaluation.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace cuclip {

struct LabelledPictures {
  std::vector<std::string> classes;       // as prompts name them
  std::vector<std::string> class_labels;  // as the source calls them: names of folders, labels of a table
  std::vector<std::filesystem::path> files;
  std::vector<int32_t> labels;     // of each file: index into classes
  std::vector<std::string> notes;  // to be reported: what a folder has that no class takes
};

/// `path` is a folder with one folder of pictures per class, or a .csv/.tsv file with the columns
/// `image_column` (paths; relative ones start at the file's folder; "": see kPictureColumns) and
/// `label_column` ("": "label").
///
/// Without `classes_file`, the classes are the folders or the labels that occur, sorted; a folder's
/// underscores are read as blanks; folders without a picture in or below them are left out. With it, the
/// classes are its lines, in order, each a class's name or "label<TAB>name" (the folder's name or the CSV's
/// label, and the words for prompts); classes without pictures still compete. Throws InputError for a path
/// that is neither, for an empty set, for a label that the classes file does not list and for a class listed
/// twice, with both lines.
LabelledPictures read_labelled_pictures(const std::filesystem::path& path,
                                        const std::string& classes_file = "",
                                        const std::string& image_column = "",
                                        const std::string& label_column = "");

}  // namespace cuclip
