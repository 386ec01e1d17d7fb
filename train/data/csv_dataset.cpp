// Picture paths and captions from separated values. Rows with the same picture are one sample with several
// captions: as separate samples they would be each other's negatives whenever they meet in a batch.
#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <unordered_map>

#include "core/counted.h"
#include "core/file_io.h"
#include "models/files/csv.h"
#include "models/files/text_file.h"
#include "train/data/dataset.h"

namespace cuclip {
namespace {

struct Row {
  std::string path;  // as written
  std::vector<std::string> captions;
};

char choose_separator(const std::string& path, const std::string& text, const DatasetOptions& options) {
  if (!options.csv_separator.empty()) {
    if (options.csv_separator == "\\t") return '\t';
    CUCLIP_CHECK(options.csv_separator.size() == 1, "csv separator: expected one character, found \"{}\"",
                 options.csv_separator);
    return options.csv_separator[0];
  }
  return guess_separator(path, text);
}

constexpr std::string_view kAdvice =
    ". Name it with --csv-img-key or --csv-caption-key (the separator with --csv-separator)";

class CsvDataset final : public Dataset {
 public:
  CsvDataset(const std::string& path, const DatasetOptions& options)
      : path_(path), folder_(std::filesystem::path(path).parent_path()) {
    const std::string text = read_text_file(path, kMaxTableBytes);
    CUCLIP_CHECK(!text.empty(), "{}: expected a header line, found 0 bytes", path);
    CsvReader reader(text, choose_separator(path, text, options), path);
    std::vector<std::string> fields;
    CUCLIP_CHECK(reader.next(fields), "{}: expected a header line, found none", path);
    const size_t columns = fields.size();
    const size_t image = find_column(fields, options.csv_image_key, path, kPictureColumns, kAdvice);
    const size_t caption =
        find_column(fields, options.csv_caption_key, path, {"title", "caption", "text"}, kAdvice);
    while (reader.next(fields)) {
      if (fields.size() != columns) {
        bad_.add("malformed row", fmt::format("{}: line {}: expected {} fields, found {}", path,
                                              reader.line(), columns, fields.size()));
      } else {
        add(fields[image], fields[caption], reader.line(), options.max_caption_bytes);
      }
    }
  }

  int64_t size() const override { return std::ssize(rows_); }
  std::string key(int64_t index) const override { return rows_.at(static_cast<size_t>(index)).path; }

  int64_t picture_bytes(int64_t index) const override {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(folder_ / key(index), error);
    return error ? -1 : static_cast<int64_t>(bytes);
  }

  Sample load(int64_t index) const override {
    const Row& row = rows_.at(static_cast<size_t>(index));
    Sample sample{.key = row.path, .picture = std::string(), .captions = row.captions};
    try {
      sample.picture = read_file(folder_ / row.path);
    } catch (const InputError& error) {
      throw SampleError("unreadable file", fmt::format("{}: {}", path_, error.what()));
    }
    return sample;
  }

  std::vector<std::string> captions(int64_t index) const override {
    return rows_.at(static_cast<size_t>(index)).captions;
  }

  std::string describe() const override {
    return fmt::format("{}: {} with captions", path_, counted(size(), "picture"));
  }

 private:
  void add(const std::string& picture, const std::string& text, int64_t line, int64_t max_caption_bytes) {
    CaptionList list;
    list.add(text, max_caption_bytes);
    if (list.captions.empty()) {
      const char* reason = list.invalid_utf8 > 0 ? "caption not UTF-8" : "empty caption";
      return bad_.add(reason, fmt::format("{}: line {}: {}", path_, line, reason));
    }
    if (picture.empty())
      return bad_.add("no picture", fmt::format("{}: line {}: the path is empty", path_, line));
    const auto [it, inserted] = by_path_.try_emplace(picture, rows_.size());
    if (inserted) rows_.push_back({.path = picture, .captions = {}});
    std::vector<std::string>& captions = rows_[it->second].captions;
    if (std::find(captions.begin(), captions.end(), list.captions[0]) == captions.end()) {
      captions.push_back(std::move(list.captions[0]));
    }
  }

  std::string path_;
  std::filesystem::path folder_;
  std::vector<Row> rows_;
  std::unordered_map<std::string, size_t> by_path_;
};

}  // namespace

std::unique_ptr<Dataset> open_csv_dataset(const std::string& path, const DatasetOptions& options) {
  return std::make_unique<CsvDataset>(path, options);
}

}  // namespace cuclip
