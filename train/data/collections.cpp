#include "train/data/collections.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <pugixml.hpp>

#include "core/file_io.h"
#include "kernels/common/parallel.h"
#include "models/files/folder_walk.h"
#include "models/text/english.h"
#include "models/text/html_entities.h"
#include "models/text/unicode.h"
#include "train/data/caption_words.h"
#include "train/data/captions.h"
#include "train/data/drawing_captions.h"
#include "train/data/font_collections.h"
#include "train/data/word_pictures.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

// Every file below a folder with this extension, relative to it, without the extension, in a fixed order.
std::vector<fs::path> stems(const fs::path& folder, const std::string& extension,
                            std::vector<std::string>& notes) {
  const FolderListing listing = walk_folder(folder);
  std::vector<fs::path> found;
  for (const FoundFile& file : listing.files) {
    if (file.name.extension() == extension) found.push_back(fs::path(file.name).replace_extension());
  }
  std::sort(found.begin(), found.end());
  const std::vector<std::string> passed_over = listing.passed_over.notes(folder.string());
  notes.insert(notes.end(), passed_over.begin(), passed_over.end());
  return found;
}

// "dc:title" -> "title"
std::string_view local_name(const pugi::xml_node& node) {
  const std::string_view name = node.name();
  return name.substr(name.rfind(':') + 1);
}

pugi::xml_node child(const pugi::xml_node& parent, std::string_view name) {
  return parent.find_child([&](const pugi::xml_node& node) { return local_name(node) == name; });
}

// All the text below a node. Some authors escaped theirs a second time ("Croissant (B &amp;amp; W)").
std::string text_of(const pugi::xml_node& node) {
  std::string text;
  struct Collector : pugi::xml_tree_walker {
    explicit Collector(std::string& text) : text(text) {}
    bool for_each(pugi::xml_node& node) override {
      if (node.type() == pugi::node_pcdata || node.type() == pugi::node_cdata)
        text += std::string(" ") + node.value();
      return true;
    }
    std::string& text;
  } collector(text);
  pugi::xml_node(node).traverse(collector);
  return normalise_caption(encode_utf8(unescape_html_strict(decode_utf8(text)))).text;
}

// The RDF description of an SVG file (Dublin Core in a cc:Work).
std::optional<DrawingMetadata> read_metadata(const std::string& svg, std::string path) {
  const size_t start = svg.find("<metadata");
  const size_t end = svg.find("</metadata>", start);
  if (start == std::string::npos || end == std::string::npos) return std::nullopt;
  // Only this part is parsed: the drawing itself is hundreds of times as long.
  const bool latin1 = lower_utf8(svg.substr(0, 200)).find("iso-8859-1") != std::string::npos;
  pugi::xml_document document;
  const pugi::xml_parse_result parsed =
      document.load_buffer(svg.data() + start, end + std::strlen("</metadata>") - start, pugi::parse_default,
                           latin1 ? pugi::encoding_latin1 : pugi::encoding_utf8);
  if (!parsed) return std::nullopt;
  const pugi::xml_node work =
      document.find_node([](const pugi::xml_node& node) { return local_name(node) == "Work"; });
  if (!work) return std::nullopt;
  DrawingMetadata metadata{.path = std::move(path),
                           .title = text_of(child(work, "title")),
                           .creator = text_of(child(work, "creator")),
                           .keywords = {}};
  for (const pugi::xml_node& item : child(child(work, "subject"), "Bag")) {
    std::string keyword = text_of(item);
    if (!keyword.empty()) metadata.keywords.push_back(std::move(keyword));
  }
  return metadata;
}

std::string first_line(const std::string& text) { return text.substr(0, text.find_first_of("\r\n")); }

// Something that a collection needs, below its folder, and Debian's package that has it.
struct Need {
  const char* path;
  const char* package;
};

struct Collection {
  const char* name;
  const char* folder;  // below the root of a system
  std::vector<Need> needs;
  std::function<RawPairs(const fs::path& folder, int threads)> list;
};

Collection font(const FontCollection& of, const char* font_package, const char* names_package) {
  return {.name = of.name,
          .folder = "usr/share",
          .needs = {{of.font, font_package}, {of.names, names_package}},
          .list = [of](const fs::path& folder, int) { return list_font(folder, of); }};
}

Collection words(const char* name, const char* folder, const char* package,
                 std::vector<WordFolder> (*folders)()) {
  return {.name = name, .folder = folder, .needs = {{".", package}}, .list = [=](const fs::path& below, int) {
            return list_word_pictures(below, name, folders());
          }};
}

const std::vector<Collection>& collections() {
  static const std::vector<Collection> table = {
      {"openclipart",
       "usr/share/openclipart",
       {{"svg", "openclipart-svg"}, {"png", "openclipart-png"}},
       list_openclipart},
      {"tuxpaint",
       "usr/share/tuxpaint/stamps",
       {{".", "tuxpaint-stamps-default"}},
       [](const fs::path& folder, int) { return list_tuxpaint(folder); }},
      font(kNotoEmoji, "fonts-noto-color-emoji", "unicode-cldr-core"),
      font(kSymbola, "fonts-symbola", "unicode-cldr-core"),
      font(kNotoSymbols, "fonts-noto-core", "unicode-cldr-core"),
      font(kMaterialIcons, "fonts-materialdesignicons-webfont", "fonts-materialdesignicons-webfont"),
      font(kGoogleIcons, "fonts-material-design-icons-iconfont", "fonts-material-design-icons-iconfont"),
      font(kFontAwesome, "fonts-font-awesome", "fonts-font-awesome"),
      {"gemojione",
       "usr/share/rubygems-integration/all/gems/gemojione-3.3.0",
       {{"config/index.json", "ruby-gemojione"}, {"assets/png", "ruby-gemojione"}},
       [](const fs::path& folder, int) { return list_gemojione(folder); }},
      words("pysiogame", "usr/share/games/pysiogame/res/images/art4apps", "pysiogame", pysiogame_folders),
      words("qabcs", "usr/share/qabcs/abcs/all/pics", "qabcs-data", qabcs_folders),
      words("scratch", "usr/share/scratch/Media", "scratch", scratch_folders),
  };
  return table;
}

// What is missing of a collection, in words; empty if it is all there.
std::string missing_of(const Collection& collection, const fs::path& folder) {
  std::vector<std::string> paths, packages;
  for (const Need& need : collection.needs) {
    const fs::path path = (folder / need.path).lexically_normal();
    if (path_exists(path)) continue;
    paths.push_back(path.string());
    if (std::find(packages.begin(), packages.end(), need.package) == packages.end())
      packages.emplace_back(need.package);
  }
  if (paths.empty()) return "";
  return fmt::format("{}: expected {}, of the Debian {} {}", collection.name, fmt::join(paths, " and "),
                     packages.size() == 1 ? "package" : "packages", fmt::join(packages, " and "));
}

// "NAME" is the collection where Debian has it, "NAME:FOLDER" elsewhere; nothing for another name.
std::optional<fs::path> folder_of(const std::string& from, const std::string& name,
                                  const fs::path& installed) {
  if (from == name) return installed;
  if (from.compare(0, name.size() + 1, name + ":") == 0) return from.substr(name.size() + 1);
  return std::nullopt;
}

RawPairs list_collection(const Collection& collection, const fs::path& folder, int threads) {
  const std::string missing = missing_of(collection, folder);
  CUCLIP_CHECK(missing.empty(), "{}; install that, or say {}:FOLDER", missing, collection.name);
  return collection.list(folder, threads);
}

RawPairs list_collections(const fs::path& root, int threads) {
  RawPairs all;
  for (const Collection& collection : collections()) {
    const fs::path folder = root / collection.folder;
    std::string missing = missing_of(collection, folder);
    if (!missing.empty()) {
      all.notes.push_back("left out: " + missing);
      continue;
    }
    RawPairs found = collection.list(folder, threads);
    std::move(found.pairs.begin(), found.pairs.end(), std::back_inserter(all.pairs));
    all.bad.add(found.bad);
    all.notes.insert(all.notes.end(), found.notes.begin(), found.notes.end());
  }
  CUCLIP_CHECK(!all.pairs.empty(),
               "collections: found none of {} below {}; scripts/fetch_pictures.sh FOLDER fetches them, and "
               "collections:FOLDER reads them",
               fmt::join(collection_names(), ", "), root.string());
  return all;
}

}  // namespace

RawPairs list_openclipart(const fs::path& folder, int threads) {
  RawPairs result;
  const std::vector<fs::path> paths = stems(folder / "svg", ".svg", result.notes);
  std::vector<std::optional<DrawingMetadata>> metadata(paths.size());
  ThreadPool pool(threads);
  pool.run(std::ssize(paths), [&](int64_t task, int) {
    const auto i = static_cast<size_t>(task);
    metadata[i] = read_metadata(read_file((folder / "svg" / paths[i]).string() + ".svg"), paths[i].string());
  });
  std::vector<DrawingMetadata> readable;
  for (size_t i = 0; i < paths.size(); ++i) {
    if (metadata[i]) readable.push_back(std::move(*metadata[i]));
    if (!metadata[i]) result.bad.add("unreadable metadata", paths[i].string() + ".svg");
  }
  const DrawingCaptioner captioner(readable);
  for (const DrawingMetadata& drawing : readable) {
    const fs::path picture = (folder / "png" / drawing.path).string() + ".png";
    std::string caption = normalise_caption(captioner.caption(drawing)).text;
    if (caption.empty()) {
      result.bad.add("no caption", drawing.path);
    } else if (!path_exists(picture)) {
      result.bad.add("no picture", drawing.path);
    } else {
      RawPair& pair = result.pairs.emplace_back();
      pair.key = "openclipart/" + drawing.path;
      pair.original = drawing.title;
      pair.captions = {std::move(caption)};
      pair.drawing = true;
      pair.file = picture;
    }
  }
  return result;
}

RawPairs list_tuxpaint(const fs::path& folder) {
  RawPairs result;
  for (const fs::path& path : stems(folder, ".txt", result.notes)) {
    const fs::path picture = (folder / path).string() + ".png";
    if (!path_exists(picture)) {
      result.bad.add("no picture", path.string());
      continue;
    }
    RawPair pair;
    pair.key = "tuxpaint/" + path.string();
    pair.original = first_line(read_file((folder / path).string() + ".txt"));
    // The folders serve as keywords: "animals/birds/puffin".
    DrawingMetadata stamp;
    stamp.title = pair.original;
    for (const fs::path& part : path.parent_path()) stamp.keywords.push_back(caption_key(part.string()));
    pair.captions = {normalise_caption(DrawingCaptioner({}).caption(stamp)).text};
    pair.drawing = true;
    pair.file = picture;
    if (pair.captions[0].empty()) {
      result.bad.add("no caption", path.string());
    } else {
      result.pairs.push_back(std::move(pair));
    }
  }
  return result;
}

bool names_collection(const std::string& from) {
  const std::string kind = from.substr(0, from.find(':'));
  const std::vector<std::string> names = collection_names();
  return kind == "collections" || std::find(names.begin(), names.end(), kind) != names.end();
}

std::vector<std::string> collection_names() {
  std::vector<std::string> names;
  for (const Collection& collection : collections()) names.emplace_back(collection.name);
  return names;
}

RawPairs list_pairs(const std::string& from, const DatasetOptions& options, int threads) {
  if (const auto root = folder_of(from, "collections", "/")) return list_collections(*root, threads);
  for (const Collection& collection : collections()) {
    if (const auto folder = folder_of(from, collection.name, fs::path("/") / collection.folder))
      return list_collection(collection, *folder, threads);
  }
  RawPairs result;
  const std::shared_ptr<const Dataset> dataset = open_dataset(from, options);
  result.bad = dataset->bad();
  result.notes = dataset->notes();
  for (int64_t i = 0; i < dataset->size(); ++i) {
    try {
      RawPair pair;
      pair.captions = dataset->captions(i);
      pair.original = pair.captions.at(0);
      pair.key = fmt::format("{:09}", i);
      pair.dataset = dataset;
      pair.index = i;
      result.pairs.push_back(std::move(pair));
    } catch (const SampleError& error) {
      result.bad.add(error.reason(), error.what());
    }
  }
  return result;
}

}  // namespace cuclip
