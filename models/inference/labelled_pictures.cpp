#include "models/inference/labelled_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "models/files/csv.h"
#include "models/files/file_names.h"
#include "models/files/folder_walk.h"
#include "models/files/names.h"
#include "models/files/text_file.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

// A file and the label that the source gives it.
using Labelled = std::vector<std::pair<fs::path, std::string>>;

// The pictures below each folder in `folder`, under its name.
Labelled read_folders(const fs::path& folder, std::vector<std::string>& notes) {
  FolderListing listing = walk_folder(folder);
  std::map<fs::path, bool> has_pictures;  // of each class
  for (const fs::path& name : listing.folders) has_pictures.emplace(*name.begin(), false);
  CUCLIP_CHECK(!has_pictures.empty(),
               "{}: expected a folder of pictures for each class, found no folder in it", folder.string());
  Labelled result;
  for (const FoundFile& file : listing.files) {
    if (!has_picture_extension(file.name.native())) continue;
    if (!file.name.has_parent_path()) {
      listing.passed_over.add({"picture beside the class folders", "pictures beside the class folders"},
                              file.name.string());
      continue;
    }
    const fs::path& label = *file.name.begin();
    has_pictures[label] = true;
    result.emplace_back(folder / file.name, label.string());
  }
  for (const auto& [name, has] : has_pictures) {
    if (!has) {
      listing.passed_over.add({"class folder without a picture", "class folders without a picture"},
                              name.string());
    }
  }
  notes = listing.passed_over.notes(folder.string());
  CUCLIP_CHECK(!result.empty(), "{}: found no picture ({}) in its {} class folders{}{}", folder.string(),
               fmt::join(picture_extensions(), ", "), has_pictures.size(), notes.empty() ? "" : "\n",
               fmt::join(notes, "\n"));
  return result;
}

Labelled read_table(const fs::path& file, const std::string& image_column, const std::string& label_column) {
  const std::string text = read_text_file(file, kMaxTableBytes);
  CsvReader reader(text, guess_separator(file, text), file.string());
  std::vector<std::string> fields;
  CUCLIP_CHECK(reader.next(fields), "{}: expected a header line, the file is empty", file.string());
  const size_t columns = fields.size(),
               image = find_column(fields, image_column, file.string(), kPictureColumns),
               label = find_column(fields, label_column, file.string(), {"label"});
  Labelled result;
  while (reader.next(fields)) {
    CUCLIP_CHECK(fields.size() == columns, "{}, line {}: expected {} fields as in the header, found {}",
                 file.string(), reader.line(), columns, fields.size());
    const std::string_view name = without_trailing_blanks(fields[label]);
    CUCLIP_CHECK(!name.empty(), "{}, line {}: the label is blank", file.string(), reader.line());
    result.emplace_back(file.parent_path() / fields[image], name);
  }
  CUCLIP_CHECK(!result.empty(), "{}: there is no row below the header", file.string());
  return result;
}

// Classes by label.
struct Classes {
  std::vector<std::string> names, labels;
  std::map<std::string, int32_t> index;

  // The place of the label among those added before, or none: it was added now.
  std::optional<int32_t> add(const std::string& label, const std::string& name) {
    const auto [at, added] = index.emplace(label, static_cast<int32_t>(names.size()));
    if (!added) return at->second;
    names.push_back(name);
    labels.push_back(label);
    return std::nullopt;
  }
};

Classes listed_classes(const std::string& file) {
  Classes classes;
  std::vector<size_t> line_of;  // each class
  for (const auto& [number, line] : read_numbered_lines(file)) {
    const size_t tab = line.find('\t');
    const std::string label(without_trailing_blanks(std::string_view(line).substr(0, tab)));
    CUCLIP_CHECK(!label.empty(), "{}: expected label<TAB>name, found a line that begins with the tab: \"{}\"",
                 text_name(file), escaped_name(line));
    const auto before = classes.add(label, tab == line.npos ? line : line.substr(tab + 1));
    CUCLIP_CHECK(!before, "{}, line {}: the class \"{}\" is listed already, in line {}", text_name(file),
                 number, escaped_name(label), line_of[static_cast<size_t>(*before)]);
    line_of.push_back(number);
  }
  return classes;
}

Classes occurring_classes(const Labelled& pictures, bool folders) {
  Classes classes;
  std::map<std::string, bool> labels;
  for (const auto& [file, label] : pictures) labels[label] = true;
  for (const auto& [label, unused] : labels) {
    std::string name = label;
    if (folders) std::replace(name.begin(), name.end(), '_', ' ');
    classes.add(label, name);
  }
  return classes;
}

}  // namespace

LabelledPictures read_labelled_pictures(const fs::path& path, const std::string& classes_file,
                                        const std::string& image_column, const std::string& label_column) {
  CUCLIP_CHECK(path_exists(path), "cannot read {}: no such file or folder", path.string());
  const bool folders = is_folder(path);
  const std::string extension = lower_extension(path.native());
  CUCLIP_CHECK(
      folders || extension == ".csv" || extension == ".tsv",
      "{}: expected a folder with a folder of pictures for each class, or a .csv or .tsv file with labels",
      path.string());
  LabelledPictures result;
  const Labelled pictures =
      folders ? read_folders(path, result.notes) : read_table(path, image_column, label_column);
  const Classes classes =
      classes_file.empty() ? occurring_classes(pictures, folders) : listed_classes(classes_file);
  result.classes = classes.names;
  result.class_labels = classes.labels;
  for (const auto& [file, label] : pictures) {
    const auto found = classes.index.find(label);
    CUCLIP_CHECK(found != classes.index.end(), "{}: the label \"{}\" is not listed in {}", file.string(),
                 label, text_name(classes_file));
    result.files.push_back(file);
    result.labels.push_back(found->second);
  }
  return result;
}

}  // namespace cuclip
