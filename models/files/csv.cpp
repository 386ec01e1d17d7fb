#include "models/files/csv.h"

#include <fmt/format.h>

#include <algorithm>

#include "kernels/common/check.h"
#include "models/files/file_names.h"
#include "models/files/names.h"

namespace cuclip {

CsvReader::CsvReader(std::string_view text, char separator, std::string_view name)
    : text_(text), separator_(separator), name_(name) {}

bool CsvReader::at_line_end() const { return text_[position_] == '\n' || text_[position_] == '\r'; }

void CsvReader::skip_line_end() {
  position_ += text_.substr(position_, 2) == "\r\n" ? 2 : 1;
  ++line_;
}

bool CsvReader::next(std::vector<std::string>& fields) {
  while (position_ < text_.size() && at_line_end()) skip_line_end();
  if (position_ >= text_.size()) return false;
  row_line_ = line_;
  fields.clear();
  for (;;) {
    const bool quote = position_ < text_.size() && text_[position_] == '"';
    fields.push_back(quote ? quoted() : plain());
    if (position_ >= text_.size()) return true;
    if (text_[position_] != separator_) break;
    ++position_;
  }
  skip_line_end();
  return true;
}

std::string CsvReader::plain() {
  const size_t start = position_;
  while (position_ < text_.size() && text_[position_] != separator_ && !at_line_end()) ++position_;
  return std::string(text_.substr(start, position_ - start));
}

std::string CsvReader::quoted() {
  std::string field;
  for (++position_;; ++position_) {
    CUCLIP_CHECK(position_ < text_.size(), "{}: the quote in the row of line {} is never closed", name_,
                 row_line_);
    const char c = text_[position_];
    if (c == '"') {
      if (text_.substr(position_ + 1, 1) != "\"") break;
      ++position_;
    }
    line_ += c == '\n' || (c == '\r' && text_.substr(position_ + 1, 1) != "\n");
    field += c;
  }
  ++position_;
  return field + plain();  // what follows a closing quote, though nothing should
}

size_t find_column(const std::vector<std::string>& header, const std::string& name, std::string_view file,
                   const std::vector<std::string>& usual, std::string_view advice) {
  const std::string& expected = name.empty() ? usual.front() : name;
  const auto exact = std::find(header.begin(), header.end(), expected);
  if (exact != header.end()) return static_cast<size_t>(exact - header.begin());
  std::vector<size_t> found;
  for (size_t i = 0; i < header.size() && name.empty(); ++i) {
    if (std::find(usual.begin(), usual.end(), header[i]) != usual.end()) found.push_back(i);
  }
  CUCLIP_CHECK(found.size() == 1, "{}: expected a column \"{}\", found: {}{}", file, expected,
               shortened_name(fmt::format("{}", fmt::join(header, ", "))), advice);
  return found[0];
}

char guess_separator(const std::filesystem::path& path, std::string_view text) {
  if (lower_extension(path.native()) == ".tsv") return '\t';
  const std::string_view header = text.substr(0, text.find_first_of("\r\n"));
  const std::string_view candidates = ",\t;";
  const auto often = [&](char a, char b) {
    return std::count(header.begin(), header.end(), a) < std::count(header.begin(), header.end(), b);
  };
  return *std::max_element(candidates.begin(), candidates.end(), often);  // the first of equal ones
}

}  // namespace cuclip
