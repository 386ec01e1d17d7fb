// Text files that people write, in whatever encoding their editor saves them: lists of classes, labels, texts
// and templates, and tables. One reader for all of them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_io.h"

namespace cuclip {

/// The text of a list, from a file, a pipe, or standard input for "-" (a file of that name is "./-"); at most
/// kMaxReadBytes. The result is UTF-8: a byte order mark is taken off, UTF-16 that begins with one is
/// decoded. Line ends stay as they are, and so do bytes that are not valid UTF-8: in a table they may be a
/// file's name. Throws InputError for anything that is not text: NUL bytes (UTF-16 without a mark), UTF-32,
/// half a UTF-16 character; also when the file cannot be read.
std::string read_text(const std::filesystem::path& path);

/// Even a table of hundreds of millions of pictures is smaller than this (1 TiB).
constexpr int64_t kMaxTableBytes = int64_t{1} << 40;

/// The same for a table or a configuration, which is a regular file of at most max_bytes.
std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes = kMaxReadBytes);

/// The lines of standard input as read_all_lines gives them, each as soon as it is there.
void for_each_input_line(const std::function<void(const std::string&)>& work);

/// What messages call it: the path, or "standard input".
std::string text_name(const std::filesystem::path& path);

/// The text without white space at its end; Unicode's white space (U+00A0) counts too.
std::string_view without_trailing_blanks(std::string_view text);

/// The lines of a text: they end with LF, CRLF or CR. What comes after the last line end is a line unless it
/// is empty.
std::vector<std::string_view> split_lines(std::string_view text);

/// The lines of read_text(path): they end with LF, CRLF or CR. What comes after the last line end is a line
/// unless it is empty. Throws InputError for a line that is not valid UTF-8.
std::vector<std::string> read_all_lines(const std::filesystem::path& path);

/// The lines of read_text(path) without blanks at their ends, and without blank lines. Throws InputError for
/// a line that is not valid UTF-8, and if no line is left.
std::vector<std::string> read_lines(const std::filesystem::path& path);

struct NumberedLine {
  size_t number;  // in the file, from 1
  std::string text;
};

/// The same lines with their numbers, for messages.
std::vector<NumberedLine> read_numbered_lines(const std::filesystem::path& path);

}  // namespace cuclip
