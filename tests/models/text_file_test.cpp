// Text files as editors on every system save them.
#include "models/files/text_file.h"

#include <catch2/catch.hpp>

#include "kernels/common/check.h"
#include "models/files/csv.h"
#include "tests/support/command.h"

namespace cuclip::test {
namespace {

using namespace std::string_literals;
using Catch::Contains;
using Lines = std::vector<std::string>;

// Characters below U+10000 as UTF-16.
std::string utf16(const std::u16string& text, bool little) {
  std::string bytes;
  for (const char16_t unit : text) {
    const char low = static_cast<char>(unit & 0xFF), high = static_cast<char>(unit >> 8);
    bytes += little ? std::string{low, high} : std::string{high, low};
  }
  return bytes;
}

TEST_CASE("a list reads the same from every editor") {
  const TemporaryFolder folder;
  const Lines expected = {"red circle", "grün", "😀"};
  const std::string plain = "red circle\ngrün\n😀\n";
  const std::u16string wide = u"\uFEFFred circle\r\ngrün\r\n😀\r\n";
  const std::pair<const char*, std::string> files[] = {
      {"plain", plain},
      {"no line end at the end", "red circle\ngrün\n😀"},
      {"byte order mark", "\xEF\xBB\xBF" + plain},
      {"CRLF", "red circle\r\ngrün\r\n😀\r\n"},
      {"CR", "red circle\rgrün\r😀\r"},
      {"trailing blanks", "red circle \t\ngrün\u00A0\n😀 \r\n"},
      {"blank lines", "\n \nred circle\n\u00A0\n\ngrün\n\n😀\n\t"},
      {"UTF-16 LE", utf16(wide, true)},
      {"UTF-16 BE", utf16(wide, false)},
  };
  for (const auto& [name, bytes] : files) {
    INFO(name);
    CHECK(read_lines(folder.write("list.txt", bytes)) == expected);
  }
}

TEST_CASE("what is not a text file is refused by name and place") {
  const TemporaryFolder folder;
  const std::pair<std::string, const char*> files[] = {
      {"", "none"},
      {"\xEF\xBB\xBF", "none"},
      {" \n\t\n", "none"},
      {"cat\ncaf\xE9\n", "line 2: expected UTF-8, found \"caf\\xe9\""},
      {"cat\ndo\0g\n"s, "NUL byte in line 2"},
      {utf16(u"cat\n", true), "UTF-16"},
      {"\xFF\xFE\0\0c\0\0\0"s, "UTF-32"},
      {"\xFF\xFE"
       "c\0a"s,
       "half a character"},
      {"\xFF\xFE"
       "c\0\x3D\xD8"s,
       "half a character at byte 4"},
      {"\xFF\xFE\x00\xDC"
       "c\0"s,
       "half a character at byte 2"},
  };
  for (const auto& [bytes, message] : files) {
    const std::string file = folder.write("list.txt", bytes);
    CHECK_THROWS_WITH(read_lines(file), Contains("list.txt") && Contains(message));
    CHECK_THROWS_AS(read_lines(file), InputError);
  }
  CHECK_THROWS_WITH(read_lines(folder.path()), Contains("folder"));
  CHECK_THROWS_WITH(read_lines(folder / "missing"), Contains("missing"));
  CHECK_THROWS_WITH(read_lines(std::string(300, 'x')), Contains("the file name is too long"));
}

TEST_CASE("a table keeps bytes that are not UTF-8: they may be a file's name") {
  const TemporaryFolder folder;
  CHECK(read_text(folder.write("t.csv", "filepath\ncaf\xE9.png\n")) == "filepath\ncaf\xE9.png\n");
}

TEST_CASE("rows of a table end with LF, CRLF or CR, and quoted line ends are part of a field") {
  using Rows = std::vector<Lines>;
  const Rows expected = {{"a", "b"}, {"1", "x\ny"}, {"2", "z"}};
  for (const std::string end : {"\n", "\r\n", "\r"}) {
    const std::string text = "a,b" + end + "1,\"x\ny\"" + end + end + "2,z" + end;
    CsvReader reader(text, ',', "t.csv");
    Rows rows;
    for (Lines fields; reader.next(fields);) rows.push_back(fields);
    CHECK(rows == expected);
    CHECK(reader.line() == 5);
  }
}

TEST_CASE("the separator is the one that the header has most of") {
  CHECK(guess_separator("t.csv", "filepath;title\na,b;c,d,e\n") == ';');
  CHECK(guess_separator("t.csv", "filepath,title\ra;b;c,d\r") == ',');
  CHECK(guess_separator("t.csv", "filepath\ttitle, long\tlabel\r\n") == '\t');
  CHECK(guess_separator("t.csv", "filepath\n") == ',');
  CHECK(guess_separator("t.TSV", "a,b,c\n") == '\t');
}

TEST_CASE("blanks at the end are taken off, and nothing else") {
  CHECK(without_trailing_blanks("a b\u00A0\u3000 \t\r\n") == "a b");
  CHECK(without_trailing_blanks("  a\u00E0") == "  a\u00E0");
  CHECK(without_trailing_blanks(" \u200B") == "");
  CHECK(without_trailing_blanks("a\xA0") == "a\xA0");  // no UTF-8: no blank
  CHECK(without_trailing_blanks("\xA0\x80") == "\xA0\x80");
}

}  // namespace
}  // namespace cuclip::test
