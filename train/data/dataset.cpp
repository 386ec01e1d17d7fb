#include "train/data/dataset.h"

#include <fmt/format.h>
#include <glob.h>
#include <utf8proc.h>

#include <algorithm>
#include <cctype>
#include <filesystem>

#include "core/file_io.h"
#include "train/data/synthetic.h"

namespace cuclip {
namespace {

// Several sources, one after the other.
class JoinedDataset final : public Dataset {
 public:
  explicit JoinedDataset(std::vector<std::unique_ptr<Dataset>> parts) : parts_(std::move(parts)) {
    for (const auto& part : parts_) {
      starts_.push_back(size_);
      size_ += part->size();
      bad_.add(part->bad());
      fingerprint_ = fingerprint_ * 0x9e3779b97f4a7c15u + part->fingerprint();
    }
  }

  int64_t size() const override { return size_; }
  Sample load(int64_t index) const override {
    const size_t part = part_of(index);
    return parts_[part]->load(index - starts_[part]);
  }
  std::vector<std::string> captions(int64_t index) const override {
    const size_t part = part_of(index);
    return parts_[part]->captions(index - starts_[part]);
  }
  std::string describe() const override {
    std::string text;
    for (const auto& part : parts_) text += (text.empty() ? "" : "; ") + part->describe();
    return text;
  }
  uint64_t fingerprint() const override { return fingerprint_; }

 private:
  size_t part_of(int64_t index) const {
    const auto after = std::upper_bound(starts_.begin(), starts_.end(), index);
    return static_cast<size_t>(after - starts_.begin()) - 1;
  }

  std::vector<std::unique_ptr<Dataset>> parts_;
  std::vector<int64_t> starts_;
  int64_t size_ = 0;
  uint64_t fingerprint_ = 0;
};

// The shards that a pattern with braces, * or [] names.
std::vector<std::string> shard_names(const std::string& spec) {
  std::vector<std::string> names;
  for (const std::string& pattern : expand_braces(spec)) {
    if (pattern.find_first_of("*?[") == std::string::npos) {
      names.push_back(pattern);
      continue;
    }
    glob_t found{};
    const int result = ::glob(pattern.c_str(), 0, nullptr, &found);  // sorted
    names.insert(names.end(), found.gl_pathv, found.gl_pathv + (result == 0 ? found.gl_pathc : 0));
    ::globfree(&found);
    CUCLIP_CHECK(result == 0, "no shard at {}", printable(pattern));
  }
  return names;
}

bool ends_with(const std::string& text, std::string_view end) {
  return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

bool is_csv(const std::string& spec) { return ends_with(spec, ".csv") || ends_with(spec, ".tsv"); }

std::unique_ptr<Dataset> open_one(const std::string& spec, const DatasetOptions& options) {
  constexpr std::string_view kSynthetic = "synthetic:";
  if (spec.compare(0, kSynthetic.size(), kSynthetic) == 0) return open_synthetic_dataset(spec);
  if (is_folder(spec)) return open_folder_dataset(spec, options);
  if (is_csv(spec)) return open_csv_dataset(spec, options);
  if (ends_with(spec, ".tar")) return open_tar_dataset(shard_names(spec), options);
  CUCLIP_CHECK(path_exists(spec), "no data set at {}: no such file or folder", printable(spec));
  fail_input(
      "{} is not a data set: expected .tar shards (shards-{{000..012}}.tar), a .csv or .tsv, a folder, or "
      "synthetic:shapes",
      printable(spec));
}

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
               "{}: expected a range of numbers like {{000..012}}, found {{{}}}", pattern, body);
  const int64_t from = std::stoll(first), to = std::stoll(last);
  CUCLIP_CHECK(from <= to, "{}: the range {{{}}} runs backwards", pattern, body);
  CUCLIP_CHECK(static_cast<size_t>(to - from) < kMaxNames, "{}: more than {} names", pattern, kMaxNames);
  std::vector<std::string> names;
  for (int64_t i = from; i <= to; ++i) names.push_back(fmt::format("{:0{}}", i, first.size()));
  return names;
}

}  // namespace

std::unique_ptr<Dataset> open_dataset(const std::string& spec, const DatasetOptions& options) {
  CUCLIP_CHECK(!spec.empty(), "expected a data set, found an empty name");
  std::vector<std::unique_ptr<Dataset>> parts;
  for (const std::string& part : split(spec, "::")) parts.push_back(open_one(part, options));
  std::unique_ptr<Dataset> dataset =
      parts.size() == 1 ? std::move(parts[0]) : std::make_unique<JoinedDataset>(std::move(parts));
  CUCLIP_CHECK(dataset->size() > 0, "{}: no usable sample; left out: {}", spec, dataset->bad().summary());
  return dataset;
}

std::vector<std::string> expand_braces(const std::string& pattern) {
  std::vector<std::string> names{""};
  size_t position = 0;
  while (position < pattern.size()) {
    const size_t open = pattern.find('{', position);
    const std::string before = pattern.substr(position, open - position);
    for (std::string& name : names) name += before;
    if (open == std::string::npos) break;
    const size_t close = pattern.find('}', open);
    CUCLIP_CHECK(close != std::string::npos, "{}: the brace is never closed", pattern);
    const std::vector<std::string> bodies = alternatives(pattern.substr(open + 1, close - open - 1), pattern);
    CUCLIP_CHECK(names.size() * bodies.size() <= kMaxNames, "{}: more than {} names", pattern, kMaxNames);
    std::vector<std::string> longer;
    for (const std::string& name : names) {
      for (const std::string& body : bodies) longer.push_back(name + body);
    }
    names = std::move(longer);
    position = close + 1;
  }
  return names;
}

bool has_picture_extension(std::string_view name) {
  std::string extension = std::filesystem::path(name).extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension == ".jpg" || extension == ".jpeg" || extension == ".png";
}

std::string printable(std::string_view name) {
  constexpr size_t kLongest = 200;
  std::string out;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(name.data());
  auto left = static_cast<utf8proc_ssize_t>(name.size());
  while (left > 0 && out.size() < kLongest) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t length = std::max<utf8proc_ssize_t>(utf8proc_iterate(bytes, left, &c), 1);
    const bool control = c < 0x20 || (c >= 0x7f && c < 0xa0);  // c is -1 where the bytes are no UTF-8
    if (control) {
      out += '?';
    } else {
      out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
    }
    bytes += length;
    left -= length;
  }
  return left > 0 ? out + "..." : out;
}

}  // namespace cuclip
