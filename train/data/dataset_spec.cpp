// Names of data sets: what "::", braces, * and [] in them stand for, and when they stand for themselves.
#include <fmt/format.h>
#include <glob.h>

#include <algorithm>
#include <cctype>
#include <climits>
#include <span>

#include "core/file_io.h"
#include "models/files/names.h"
#include "train/data/dataset.h"

namespace cuclip {
namespace {

std::vector<std::string> split(const std::string& text, std::string_view separator) {
  std::vector<std::string> parts;
  size_t start = 0;
  for (size_t end; (end = text.find(separator, start)) != std::string::npos; start = end + separator.size()) {
    parts.push_back(text.substr(start, end - start));
  }
  parts.push_back(text.substr(start));
  return parts;
}

constexpr size_t kMaxNames = 1'000'000;

// "000..012" -> 000 ... 012; "a,b" -> a, b.
std::vector<std::string> alternatives(const std::string& body, const std::string& pattern) {
  const size_t dots = body.find("..");
  if (dots == std::string::npos) return split(body, ",");
  const std::string first = body.substr(0, dots), last = body.substr(dots + 2);
  auto is_number = [](const std::string& text) {
    return !text.empty() && text.size() <= 9 &&
           std::all_of(text.begin(), text.end(), [](unsigned char c) { return std::isdigit(c) != 0; });
  };
  CUCLIP_CHECK(is_number(first) && is_number(last),
               "{}: expected a range of numbers like {{000..012}}, found {{{}}}", shortened_name(pattern),
               shortened_name(body));
  const int64_t from = std::stoll(first), to = std::stoll(last);
  CUCLIP_CHECK(from <= to, "{}: the range {{{}}} runs backwards", shortened_name(pattern), body);
  CUCLIP_CHECK(static_cast<size_t>(to - from) < kMaxNames, "{}: more than {} names", shortened_name(pattern),
               kMaxNames);
  std::vector<std::string> names;
  for (int64_t i = from; i <= to; ++i) names.push_back(fmt::format("{:0{}}", i, first.size()));
  return names;
}

// How much of a pattern names folders that exist exactly as written, up to and including the last "/" of
// these: in "[set 1]/train-*.tar" the brackets belong to a name.
size_t literal_length(const std::string& pattern) {
  size_t length = 0;
  for (size_t slash; (slash = pattern.find('/', length)) != std::string::npos; length = slash + 1) {
    if (slash > 0 && !is_folder(pattern.substr(0, slash))) break;
  }
  return length;
}

// The files that * and [] name, sorted.
std::vector<std::string> matches(const std::string& pattern) {
  std::string escaped;
  const size_t literal = literal_length(pattern);
  for (const char c : pattern.substr(0, literal)) {
    if (std::string_view("*?[]\\").find(c) != std::string_view::npos) escaped += '\\';
    escaped += c;
  }
  escaped += pattern.substr(literal);
  glob_t found{};
  const int result = ::glob(escaped.c_str(), 0, nullptr, &found);
  const std::vector<std::string> names(found.gl_pathv, found.gl_pathv + (result == 0 ? found.gl_pathc : 0));
  ::globfree(&found);
  CUCLIP_CHECK(result == 0, "no shard at {}", shortened_name(pattern));
  return names;
}

constexpr std::string_view kJoint = "::";

// How many of the leading parts together name something that is there, "a::b" itself before "a" and "b"; 1 if
// none do. It asks the system only while a longer name can exist: not beyond a folder that is missing, nor
// beyond the longest name that the system allows. A thousand shards in folders cost one question each.
size_t parts_of_name(std::span<const std::string> parts, const PathQuestion& exists) {
  size_t found = 1;
  std::string name = parts[0];
  for (size_t count = 2; count <= parts.size(); ++count) {
    name += kJoint;
    name += parts[count - 1];
    const size_t slash = name.rfind('/');
    const size_t last_name = slash == std::string::npos ? name.size() : name.size() - slash - 1;
    if (name.size() >= PATH_MAX || last_name > NAME_MAX) break;
    if (slash != std::string::npos && slash > 0 && !exists(name.substr(0, slash))) break;
    if (exists(name)) found = count;
  }
  return found;
}

}  // namespace

std::vector<std::string> expand_braces(const std::string& pattern, size_t first) {
  std::vector<std::string> names{pattern.substr(0, first)};
  size_t position = first;
  while (position < pattern.size()) {
    const size_t open = pattern.find('{', position);
    const std::string before = pattern.substr(position, open - position);
    for (std::string& name : names) name += before;
    if (open == std::string::npos) break;
    const size_t close = pattern.find('}', open);
    CUCLIP_CHECK(close != std::string::npos, "{}: the brace is never closed", shortened_name(pattern));
    const std::vector<std::string> bodies = alternatives(pattern.substr(open + 1, close - open - 1), pattern);
    CUCLIP_CHECK(names.size() * bodies.size() <= kMaxNames, "{}: more than {} names", shortened_name(pattern),
                 kMaxNames);
    std::vector<std::string> longer;
    for (const std::string& name : names) {
      for (const std::string& body : bodies) longer.push_back(name + body);
    }
    names = std::move(longer);
    position = close + 1;
  }
  return names;
}

std::vector<std::string> shard_names(const std::string& pattern) {
  if (path_exists(pattern)) return {pattern};
  std::vector<std::string> names;
  for (const std::string& name : expand_braces(pattern, literal_length(pattern))) {
    if (name.find_first_of("*?[") == std::string::npos || path_exists(name)) {
      names.push_back(name);
    } else {
      const std::vector<std::string> found = matches(name);
      names.insert(names.end(), found.begin(), found.end());
    }
  }
  return names;
}

std::vector<std::string> joined_specs(const std::string& spec, const PathQuestion& exists) {
  const std::vector<std::string> parts = split(spec, kJoint);
  std::vector<std::string> specs;
  for (size_t first = 0; first < parts.size();) {
    const size_t count = parts_of_name(std::span(parts).subspan(first), exists);
    const auto begin = parts.begin() + static_cast<std::ptrdiff_t>(first);
    specs.push_back(fmt::format("{}", fmt::join(begin, begin + static_cast<std::ptrdiff_t>(count), kJoint)));
    first += count;
  }
  return specs;
}

}  // namespace cuclip
