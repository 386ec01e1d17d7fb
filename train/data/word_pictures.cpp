#include "train/data/word_pictures.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "core/file_io.h"
#include "models/files/folder_walk.h"
#include "models/text/english.h"
#include "train/data/caption_words.h"
#include "train/data/captions.h"
#include "train/data/drawing_captions.h"
#include "train/data/picture_names.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

bool is_picture(const fs::path& file) {
  static const std::set<std::string> kExtensions = {".png", ".jpg", ".jpeg"};
  return kExtensions.contains(lower_utf8(file.extension().string()));
}

// Appends the picture, or says why it cannot be used.
void add_picture(RawPairs& result, RawPair&& pair, const DrawingMetadata& about) {
  pair.captions = {normalise_caption(DrawingCaptioner({}).caption(about)).text};
  pair.original = about.title;
  if (about.title.empty() || pair.captions[0].empty()) {
    result.bad.add("no caption", pair.key);
  } else if (!path_exists(pair.file)) {
    result.bad.add("no picture", pair.key);
  } else {
    result.pairs.push_back(std::move(pair));
  }
}

}  // namespace

RawPairs list_word_pictures(const fs::path& folder, const std::string& name,
                            const std::vector<WordFolder>& folders) {
  RawPairs result;
  size_t missing = 0;
  for (const WordFolder& part : folders) {
    const fs::path there = folder / part.folder;
    if (!is_folder(there)) {
      ++missing;
      result.notes.push_back(fmt::format("{}: there is no {}", name, there.string()));
      continue;
    }
    const FolderListing listing = walk_folder(there);
    const std::vector<std::string> passed_over = listing.passed_over.notes(there.string());
    result.notes.insert(result.notes.end(), passed_over.begin(), passed_over.end());
    for (const FoundFile& file : listing.files) {
      if (!is_picture(file.name) || file.name.has_parent_path()) continue;
      RawPair pair;
      const fs::path stem = fs::path(file.name).replace_extension();
      pair.key = fmt::format("{}/{}/{}", name, part.folder, stem.string());
      pair.file = there / file.name;
      pair.drawing = part.drawing;
      const DrawingMetadata about{
          .path = {},
          .title = fmt::format("{}", fmt::join(file_name_words(stem.string(), ""), " ")),
          .creator = {},
          .keywords = split_parts(part.keywords, ',')};
      add_picture(result, std::move(pair), about);
    }
  }
  CUCLIP_CHECK(missing < folders.size(), "{}: expected folders such as {}, found none of them", name,
               (folder / folders.at(0).folder).string());
  return result;
}

RawPairs list_gemojione(const fs::path& folder) {
  RawPairs result;
  const fs::path list = folder / "config/index.json";
  for (const PictureName& name : names_from_gemojione(read_file(list), list.string())) {
    RawPair pair;
    pair.key = "gemojione/" + name.id;
    pair.file = folder / "assets/png" / (name.id + ".png");
    pair.drawing = true;
    add_picture(result, std::move(pair),
                {.path = {}, .title = name.name, .creator = {}, .keywords = name.keywords});
  }
  return result;
}

std::vector<WordFolder> pysiogame_folders() {
  return {{"actions", ""},       {"animals", "animal"},
          {"body", "body part"}, {"clothes_n_accessories", "clothes"},
          {"construction", ""},  {"food", "food"},
          {"fruit_n_veg", ""},   {"jobs", "job, person"},
          {"nature", "nature"},  {"people", "people"},
          {"sport", "sport"},    {"transport", "transport, vehicle"}};
}

std::vector<WordFolder> qabcs_folders() {
  return {{"animals", "animal"},
          {"food", "food"},
          {"instrument", "musical instrument"},
          {"misc", ""},
          {"toys", "toy"}};
}

std::vector<WordFolder> scratch_folders() {
  return {{"Costumes/Animals", "animal"},
          {"Costumes/Fantasy", "fantasy"},
          {"Costumes/People", "person"},
          {"Costumes/Things", ""},
          {"Costumes/Transportation", "vehicle"},
          {"Backgrounds/Indoors", "indoors, room", false},
          {"Backgrounds/Nature", "nature, landscape", false},
          {"Backgrounds/Outdoors", "outdoors", false},
          {"Backgrounds/Sports", "sport", false}};
}

}  // namespace cuclip
