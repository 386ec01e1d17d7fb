#include "train/data/text_file.h"

#include <utf8proc.h>

#include <algorithm>

#include "core/file_io.h"
#include "kernels/common/check.h"
#include "train/names.h"

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

// White space as it is written, and what editors leave behind unseen.
bool is_blank(utf8proc_int32_t c) {
  const utf8proc_category_t category = utf8proc_category(c);
  return category == UTF8PROC_CATEGORY_ZS || category == UTF8PROC_CATEGORY_ZL ||
         category == UTF8PROC_CATEGORY_ZP || (c >= 0 && c < 0x20) || c == 0xFEFF || c == 0x200B;
}

std::vector<std::string_view> split_lines(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const size_t end = std::min(text.find_first_of("\r\n"), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(text.size(), end + (text.substr(end, 2) == "\r\n" ? 2 : 1)));
  }
  return lines;
}

}  // namespace

std::string text_name(const std::filesystem::path& path) {
  return path == "-" ? "standard input" : path.string();
}

std::string read_text(const std::filesystem::path& path) {
  const std::string name = text_name(path);
  std::string text = read_file(path == "-" ? std::filesystem::path("/dev/stdin") : path);
  CUCLIP_CHECK(!text.starts_with(kUtf32Little) && !text.starts_with(kUtf32Big),
               "{} is UTF-32; save it as UTF-8", name);
  if (text.starts_with(kUtf16Little) || text.starts_with(kUtf16Big)) {
    text = utf16_to_utf8(std::string_view(text).substr(2), text.starts_with(kUtf16Little), name);
  } else if (text.starts_with(kUtf8Mark)) {
    text.erase(0, kUtf8Mark.size());
  }
  const size_t nul = text.find('\0');
  CUCLIP_CHECK(nul == text.npos,
               "{} is no text: expected UTF-8, found a NUL byte in line {}. UTF-16 without a "
               "byte order mark looks like this; save it as UTF-8",
               name, split_lines(std::string_view(text).substr(0, nul + 1)).size());
  return text;
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
    CUCLIP_CHECK(is_utf8(line), "{}, line {}: expected UTF-8, found \"{}\"; save the file as UTF-8",
                 text_name(path), lines.size() + 1, escaped_name(line));
    lines.emplace_back(line);
  }
  return lines;
}

std::vector<std::string> read_lines(const std::filesystem::path& path) {
  std::vector<std::string> lines;
  for (const std::string& line : read_all_lines(path)) {
    const std::string_view content = without_trailing_blanks(line);
    if (!content.empty()) lines.emplace_back(content);
  }
  CUCLIP_CHECK(!lines.empty(), "{}: expected one entry per line, found none{}", text_name(path),
               path == "-" ? " (it can be read only once)" : "");
  return lines;
}

}  // namespace cuclip
