// Captions for drawings from what their authors wrote about them.
//
// The metadata of a clip-art collection is of uneven quality: many a title names the collection ("Part of the
// Flat Icon Collection"), and then the file name says what is drawn; titles include the author; file names
// are cut at 24 characters, with the author's name last ("cavallo_architetto_franc_02"); keywords contain
// program output ("hash(0x8a3cd28)").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cuclip {

struct DrawingMetadata {
  std::string path;  // within the collection, without extension: "animals/birds/puffin_01"
  std::string title;
  std::string creator;
  std::vector<std::string> keywords;
};

/// Writes captions; knows the whole collection, since a title that several drawings share says little about
/// any of them.
class DrawingCaptioner {
 public:
  explicit DrawingCaptioner(const std::vector<DrawingMetadata>& collection);

  /// What the drawing shows, followed by keywords: "Treble Staff with Notes, music". Empty where nothing is
  /// known.
  std::string caption(const DrawingMetadata& drawing) const;

  /// The parts, for tests and for looking at the data.
  std::string subject(const DrawingMetadata& drawing) const;
  std::vector<std::string> keywords(const DrawingMetadata& drawing, const std::string& subject) const;

 private:
  /// A title that this many drawings share is the collection's, not the drawing's.
  static constexpr int64_t kShared = 4;
  static constexpr size_t kMaxKeywords = 5;

  std::map<std::string, int64_t> titles_;
};

/// The words of a file's name that say what is drawn: without numbers and without the author's name at the
/// end.
std::vector<std::string> file_name_words(const std::string& path, const std::string& creator);

}  // namespace cuclip
