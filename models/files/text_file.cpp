#include "models/files/text_file.h"

#include <unistd.h>
#include <utf8proc.h>

#include <algorithm>
#include <utility>

#include "kernels/common/check.h"
#include "models/files/names.h"

namespace cuclip {
namespace {

using namespace std::string_view_literals;

constexpr std::string_view kUtf8Mark = "\xEF\xBB\xBF", kUtf16Little = "\xFF\xFE", kUtf16Big = "\xFE\xFF",
                           kUtf32Little = "\xFF\xFE\0\0"sv, kUtf32Big = "\0\0\xFE\xFF"sv;

void append_utf8(std::string& out, uint32_t c) {
  utf8proc_uint8_t bytes[4];
  const utf8proc_ssize_t length = utf8proc_encode_char(static_cast<utf8proc_int32_t>(c), bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

// UTF-16 without its mark.
std::string utf16_to_utf8(std::string_view bytes, bool little, const std::string& name) {
  CUCLIP_CHECK(bytes.size() % 2 == 0,
               "{} is UTF-16 with half a character at its end: it is damaged; save it as UTF-8", name);
  const auto unit = [&](size_t at) {
    const auto first = static_cast<uint8_t>(bytes[at]), second = static_cast<uint8_t>(bytes[at + 1]);
    return static_cast<uint32_t>(little ? first | second << 8 : first << 8 | second);
  };
  std::string out;
  for (size_t at = 0; at < bytes.size(); at += 2) {
    uint32_t c = unit(at);
    if (c >= 0xD800 && c < 0xE000) {  // a character of two units
      const uint32_t low = at + 2 < bytes.size() ? unit(at + 2) : 0;
      CUCLIP_CHECK(c < 0xDC00 && low >= 0xDC00 && low < 0xE000,
                   "{} is UTF-16 with half a character at byte {}: it is damaged; save it as UTF-8", name,
                   at + 2);
      c = 0x10000 + ((c - 0xD800) << 10) + (low - 0xDC00);
      at += 2;
    }
    append_utf8(out, c);
  }
  return out;
}

// White space as people write it, and the invisible characters that editors leave.
bool is_blank(utf8proc_int32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP || (c >= 0 && c < 0x20) || c == 0xFEFF || c == 0x200B;
}

bool is_utf16(std::string_view bytes) {
  return bytes.starts_with(kUtf16Little) || bytes.starts_with(kUtf16Big);
}

// The bytes at the start of a file as UTF-8, or whatever else has no mark.
std::string without_mark(std::string text, const std::string& name) {
  CUCLIP_CHECK(!text.starts_with(kUtf32Little) && !text.starts_with(kUtf32Big),
               "{} is UTF-32; save it as UTF-8", name);
  if (is_utf16(text))
    return utf16_to_utf8(std::string_view(text).substr(2), text.starts_with(kUtf16Little), name);
  if (text.starts_with(kUtf8Mark)) text.erase(0, kUtf8Mark.size());
  return text;
}

void check_no_nul(std::string_view text, const std::string& name, size_t lines_before = 0) {
  const size_t nul = text.find('\0');
  CUCLIP_CHECK(nul == text.npos,
               "{} is not a text file: expected UTF-8, found a NUL byte in line {}. UTF-16 without a "
               "byte order mark looks like this; save it as UTF-8",
               name, lines_before + split_lines(text.substr(0, nul + 1)).size());
}

std::string decoded(std::string bytes, const std::string& name) {
  std::string text = without_mark(std::move(bytes), name);
  check_no_nul(text, name);
  return text;
}

void check_utf8(std::string_view line, const std::string& name, size_t number) {
  CUCLIP_CHECK(is_utf8(line), "{}, line {}: expected UTF-8, found \"{}\"; save the file as UTF-8", name,
               number, escaped_name(line));
}

}  // namespace

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + (text.substr(end, 2) == "\r\n" ? 2 : 1)));
  }
  return lines;
}

std::string text_name(const std::filesystem::path& path) {
  return path == "-" ? "standard input" : path.string();
}

std::string read_text(const std::filesystem::path& path) {
  const std::string name = text_name(path);
  return decoded(
      path == "-" ? read_to_end(STDIN_FILENO, name) : read_file(path, kMaxReadBytes, Pipes::allowed), name);
}

std::string read_text_file(const std::filesystem::path& path, int64_t max_bytes) {
  return decoded(read_file(path, max_bytes), path.string());
}

std::string_view without_trailing_blanks(std::string_view text) {
  while (!text.empty()) {
    size_t last = text.size() - 1;  // the last character begins there
    while (last > 0 && (static_cast<uint8_t>(text[last]) & 0xC0) == 0x80) --last;
    utf8proc_int32_t c = -1;
    utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + last),
                     static_cast<utf8proc_ssize_t>(text.size() - last), &c);
    if (!is_blank(c)) break;
    text = text.substr(0, last);
  }
  return text;
}

std::vector<std::string> read_all_lines(const std::filesystem::path& path) {
  const std::string text = read_text(path);
  std::vector<std::string> lines;
  for (const std::string_view line : split_lines(text)) {
    check_utf8(line, text_name(path), lines.size() + 1);
    lines.emplace_back(line);
  }
  return lines;
}

void for_each_input_line(const std::function<void(const std::string&)>& work) {
  const std::string name = text_name("-");
  size_t lines = 0;
  bool at_start = true;
  const auto take = [&](std::string text) {
    if (std::exchange(at_start, false)) text = without_mark(std::move(text), name);
    check_no_nul(text, name, lines);
    for (const std::string_view line : split_lines(text)) {
      check_utf8(line, name, ++lines);
      work(std::string(line));
    }
  };
  std::string pending;
  for (std::string some; !(some = read_some(STDIN_FILENO, name)).empty();) {
    const size_t end = some.rfind('\n') + 1;
    // UTF-16 cannot be split after a byte that looks like a line end.
    const bool whole = at_start && is_utf16(pending + some.substr(0, 2));
    if (end == 0 || whole) {
      pending += some;
      CUCLIP_CHECK(std::ssize(pending) <= kMaxReadBytes, "{}: a line has more than {} bytes", name,
                   kMaxReadBytes);
    } else {
      take(std::exchange(pending, some.substr(end)) + some.substr(0, end));
    }
  }
  take(std::move(pending));
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  for (NumberedLine& line : read_numbered_lines(path)) lines.push_back(std::move(line.text));
  return lines;
}

std::vector<NumberedLine> read_numbered_lines(const std::filesystem::path& path) {
  std::vector<NumberedLine> lines;
  size_t number = 0;
  for (const std::string& line : read_all_lines(path)) {
    const std::string_view content = without_trailing_blanks(line);
    number++;
    if (!content.empty()) lines.push_back({number, std::string(content)});
  }
  CUCLIP_CHECK(!lines.empty(), "{}: expected one entry per line, found none{}", text_name(path),
               path == "-" ? " (it can be read only once)" : "");
  return lines;
}

}  // namespace cuclip
