// Where image-text pairs come from.
//
// Every source knows its samples by index before the first is read, so that a seeded shuffle reaches over the
// whole set and a training run resumes in the middle of an epoch from one number.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "core/file_io.h"
#include "models/files/file_names.h"
#include "train/data/captions.h"
#include "train/data/fingerprint.h"
#include "train/data/sample.h"

namespace cuclip {

/// One sample's captions, or why it has no usable ones.
struct CaptionsOrReason {
  std::vector<std::string> captions;
  std::string reason;
};

class Dataset {
 public:
  virtual ~Dataset() = default;

  virtual int64_t size() const = 0;

  /// The sample at `index` in [0, size()). May be called from several threads at a time. Throws SampleError
  /// for one that cannot be used; its picture is not decoded here, so a damaged picture is found later.
  virtual Sample load(int64_t index) const = 0;

  /// The sample's key alone, without reading anything.
  virtual std::string key(int64_t index) const = 0;

  /// Bytes of the picture's file, without reading it; of the pixels where the picture is rendered; -1 where
  /// there is no such file.
  virtual int64_t picture_bytes(int64_t index) const = 0;

  /// The captions alone, without reading the picture where the source can do so.
  virtual std::vector<std::string> captions(int64_t index) const { return load(index).captions; }

  /// The captions of the `count` samples that start at `first`: as captions() returns them, or the reason of
  /// its SampleError. May be called from several threads at a time. Sources that keep many samples in one
  /// file open it once.
  virtual std::vector<CaptionsOrReason> captions_of(int64_t first, int64_t count) const;

  /// One line for logs: what it is and how much of it.
  virtual std::string describe() const = 0;

  /// What the data set consists of, to be compared with what it was before (fingerprint.h). Reads all
  /// captions, on `threads` threads (0: as many as there are CPUs); the result does not depend on their
  /// number.
  DatasetFingerprint fingerprint(int threads = 0) const;

  /// What was left out while the source was listed: pictures without a caption, captions without a picture,
  /// links.
  const BadSamples& bad() const { return bad_; }

  /// What else the user should be told, one line each: hidden files that were passed over, unreadable
  /// folders, bytes after the end of an archive. As far as is known, none of these loses a sample.
  const std::vector<std::string>& notes() const { return notes_; }

 protected:
  /// captions_of() in terms of read(index), which returns captions or throws SampleError.
  static std::vector<CaptionsOrReason> collect_captions(
      int64_t first, int64_t count, const std::function<std::vector<std::string>(int64_t)>& read);

  BadSamples bad_;
  std::vector<std::string> notes_;
};

/// What help texts say of the options below.
inline constexpr const char* kCsvImageHelp =
    "CSV column with the picture's path; by default filepath, filename, file, image or path";
inline constexpr const char* kCsvCaptionHelp =
    "CSV column with the caption; by default title, caption or text";
inline constexpr const char* kCsvSeparatorHelp = "CSV separator; detected from the file by default";

struct DatasetOptions {
  std::string csv_image_key;    // the column with the picture's path; empty: see kPictureColumns (csv.h)
  std::string csv_caption_key;  // the column with the caption; empty: "title", or else "caption" or "text"
  std::string csv_separator;    // empty: a tab for .tsv, whatever the header line suggests for .csv
  int64_t max_caption_bytes = kMaxCaptionBytes;
};

/// Opens a data set. SPEC is one of these, or several of them joined with "::" (their samples then follow one
/// another):
///   shards-{000..012}.tar   WebDataset shards, any number of brace ranges, * and []: pictures
///                           (picture_extensions, file_names.h) with .txt or .json
///   pairs.csv, pairs.tsv    a column of picture paths (relative ones start at the file's folder), one of
///                           captions; rows with the same picture are one sample with several captions
///   FOLDER                  pictures with captions of the same stem in .txt or .json, or a captions.csv/.tsv
///   synthetic:shapes        rendered scenes; ?size=64&count=20000&seed=1&split=train|val|held-out
/// Extensions may be in upper or lower case. If something exists under a name with "::", braces or brackets
/// in it, the name is taken as it is written. Throws InputError naming the file, what was expected and what
/// was found; also when no sample is left.
std::unique_ptr<Dataset> open_dataset(const std::string& spec, const DatasetOptions& options = {});

// The kinds of source; open_dataset chooses.
std::unique_ptr<Dataset> open_tar_dataset(const std::vector<std::string>& shards,
                                          const DatasetOptions& options);
std::unique_ptr<Dataset> open_csv_dataset(const std::string& path, const DatasetOptions& options);
std::unique_ptr<Dataset> open_folder_dataset(const std::string& path, const DatasetOptions& options);

/// shards-{000..012}.tar -> 13 names; {a,b} alternatives; several braces multiply out. A range's width is
/// that of its first number. Braces before `first` stand for themselves. Throws InputError for a brace that
/// is not closed, a range that runs backwards, or more than a million names.
std::vector<std::string> expand_braces(const std::string& pattern, size_t first = 0);

/// The shards that a pattern with braces, * or [] names, in order. A name that exists is taken literally, and
/// so are the leading folders of one that does not. Throws InputError as expand_braces does, and for a * or
/// [] that matches no file.
std::vector<std::string> shard_names(const std::string& pattern);

/// Whether there is something under a name.
using PathQuestion = std::function<bool(const std::string& name)>;

/// The data sets that SPEC joins with "::". What `exists` under a name with "::" in it is one of them.
std::vector<std::string> joined_specs(const std::string& spec, const PathQuestion& exists = path_exists);

}  // namespace cuclip
