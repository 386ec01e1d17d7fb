// Captions for drawings from what their authors wrote about them.
//
// The metadata of a clip-art collection are of uneven worth: many a title names the collection ("Part of the
// Flat Icon Collection"), the file name then says what is drawn; titles carry the author, file names are cut
// at 24 characters with the author's name behind ("cavallo_architetto_franc_02"); keywords hold program
// output ("hash(0x8a3cd28)").
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace cuclip {

struct DrawingMetadata {
  std::string path;  // within the collection, without extension: "animals/birds/puffin_01"
  std::string title;
  std::string description;
  std::string creator;
  std::vector<std::string> keywords;
};

/// Writes captions; knows the whole collection, since a title or description that several drawings share says
/// little about any of them.
class DrawingCaptioner {
 public:
  explicit DrawingCaptioner(const std::vector<DrawingMetadata>& collection);

  /// What the drawing shows, followed by keywords: "Treble Staff with Notes, music"; then the description where
  /// it is a sentence about the picture. Empty where nothing is known. Variants with the subject alone or the
  /// keywords in other orders cost a tenth of the recall on held-out pairs (docs/performance.md).
  std::vector<std::string> captions(const DrawingMetadata& drawing) const;

  /// The parts, for tests and for a look at the data.
  std::string subject(const DrawingMetadata& drawing) const;
  std::vector<std::string> keywords(const DrawingMetadata& drawing, const std::string& subject) const;
  std::string description(const DrawingMetadata& drawing, const std::string& subject) const;

 private:
  /// A title or description that this many drawings share is the collection's, not the drawing's.
  static constexpr int64_t kShared = 4;
  static constexpr size_t kMaxKeywords = 5;

  std::map<std::string, int64_t> titles_, descriptions_;
};

/// The words of a file's name that say what is drawn: without numbers and without the author's name at its
/// end.
std::vector<std::string> file_name_words(const std::string& path, const std::string& creator);

}  // namespace cuclip
