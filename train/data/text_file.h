// Text files that people write, in whatever their editor saves: lists of classes, labels, texts and
// templates, and tables. One reader for all of them.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

/// The text of a file, or of standard input for "-" (a file of that name is "./-"), as UTF-8: a byte order
/// mark is taken off, UTF-16 that begins with one is decoded. Line ends stay as they are, and so do bytes
/// that are no UTF-8: in a table they may be a file's name. Throws InputError for what is no text: NUL bytes
/// (UTF-16 without a mark), UTF-32, half a UTF-16 character; also when the file cannot be read.
std::string read_text(const std::filesystem::path& path);

/// How messages call it: the path, or "standard input".
std::string text_name(const std::filesystem::path& path);

/// The text without white space at its end, Unicode's included (U+00A0).
std::string_view without_trailing_blanks(std::string_view text);

/// The lines of read_text(path): they end with LF, CRLF or CR. What is behind the last line end is a line
/// unless it is empty. Throws InputError for a line that is no UTF-8.
std::vector<std::string> read_all_lines(const std::filesystem::path& path);

/// The lines of read_text(path) without blanks at their ends, and without those that are blank. Throws
/// InputError for a line that is no UTF-8, and if there is none.
std::vector<std::string> read_lines(const std::filesystem::path& path);

}  // namespace cuclip
