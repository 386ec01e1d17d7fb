#include "train/labelled_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "train/data/csv.h"
#include "train/data/file_names.h"
#include "train/data/folder_walk.h"
#include "train/encode.h"

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
    if (!is_picture_file(file.name) || !file.name.has_parent_path()) continue;
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
  CUCLIP_CHECK(!result.empty(), "{}: found no picture (.jpg, .jpeg, .png, .bmp) in its {} class folders{}{}",
               folder.string(), has_pictures.size(), notes.empty() ? "" : "\n", fmt::join(notes, "\n"));
  return result;
}

size_t column_of(const std::vector<std::string>& header, const std::string& name, const fs::path& file) {
  const auto at = std::find(header.begin(), header.end(), name);
  std::string found;
  for (const std::string& column : header) found += (found.empty() ? "" : ", ") + column;
  CUCLIP_CHECK(at != header.end(), "{}: expected a column \"{}\", found: {}", file.string(), name, found);
  return static_cast<size_t>(at - header.begin());
}

Labelled read_table(const fs::path& file, const std::string& image_column, const std::string& label_column) {
  const std::string text = read_file(file);
  CsvReader reader(text, lower_extension(file.native()) == ".tsv" ? '\t' : ',', file.string());
  std::vector<std::string> fields;
  CUCLIP_CHECK(reader.next(fields), "{}: expected a header line, the file is empty", file.string());
  const size_t columns = fields.size(), image = column_of(fields, image_column, file),
               label = column_of(fields, label_column, file);
  Labelled result;
  while (reader.next(fields)) {
    CUCLIP_CHECK(fields.size() == columns, "{}, line {}: expected {} fields as in the header, found {}",
                 file.string(), reader.line(), columns, fields.size());
    result.emplace_back(file.parent_path() / fields[image], fields[label]);
  }
  CUCLIP_CHECK(!result.empty(), "{}: there is no row below the header", file.string());
  return result;
}

// Classes by label.
struct Classes {
  std::vector<std::string> names;
  std::map<std::string, int32_t> index;

  void add(const std::string& label, const std::string& name, const std::string& where) {
    CUCLIP_CHECK(index.emplace(label, static_cast<int32_t>(names.size())).second,
                 "{}: the class \"{}\" is listed twice", where, label);
    names.push_back(name);
  }
};

Classes listed_classes(const std::string& file) {
  Classes classes;
  for (const std::string& line : read_lines(file)) {
    const size_t tab = line.find('\t');
    classes.add(line.substr(0, tab), tab == line.npos ? line : line.substr(tab + 1), file);
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
    classes.add(label, name, "");
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
  for (const auto& [file, label] : pictures) {
    const auto found = classes.index.find(label);
    CUCLIP_CHECK(found != classes.index.end(), "{}: the label \"{}\" is not listed in {}", file.string(),
                 label, classes_file);
    result.files.push_back(file);
    result.labels.push_back(found->second);
  }
  return result;
}

std::vector<std::string> read_lines(const fs::path& path) {
  const std::string text = read_file(path);
  std::vector<std::string> lines;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string line = text.substr(at, end - at);
    at = end + 1;
    if (!line.empty() && line.back() == '\r') line.pop_back();
    if (line.find_first_not_of(" \t") != line.npos) lines.push_back(std::move(line));
  }
  CUCLIP_CHECK(!lines.empty(), "{}: expected one entry a line, the file has none", path.string());
  return lines;
}

}  // namespace cuclip
