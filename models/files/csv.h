// Separated values as RFC 4180 has them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

/// Reads rows one after another: fields in double quotes may hold separators, line breaks and doubled quotes;
/// lines end with LF, CRLF or CR. Blank lines are skipped. read_text() takes off a byte order mark.
class CsvReader {
 public:
  /// `text` must outlive the reader; `name` is used in messages.
  CsvReader(std::string_view text, char separator, std::string_view name);

  /// The next row's fields, or false at the end. Throws InputError for a quote that is never closed.
  bool next(std::vector<std::string>& fields);

  /// The line, from 1, on which the row that next() returned last begins.
  int64_t line() const { return row_line_; }

 private:
  std::string quoted();
  std::string plain();
  bool at_line_end() const;
  void skip_line_end();

  std::string_view text_;
  char separator_;
  std::string_view name_;
  size_t position_ = 0;
  int64_t line_ = 1;
  int64_t row_line_ = 0;
};

/// What tables call the column of the pictures' paths, open_clip's name first.
inline const std::vector<std::string> kPictureColumns = {"filepath", "filename", "file", "image", "path"};

/// The first column called `name`; where no name is given (""), the first of the `usual` one, or else the
/// only column with another of the usual names. Throws InputError that lists the columns of the table `file`
/// and ends with `advice`.
size_t find_column(const std::vector<std::string>& header, const std::string& name, std::string_view file,
                   const std::vector<std::string>& usual, std::string_view advice = "");

/// What separates the fields of a table: a tab if the file is called .tsv, otherwise whichever of comma, tab
/// and semicolon occurs most often in the header line.
char guess_separator(const std::filesystem::path& path, std::string_view text);

}  // namespace cuclip
