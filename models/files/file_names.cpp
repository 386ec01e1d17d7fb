#include "models/files/file_names.h"

#include <algorithm>
#include <cctype>

namespace cuclip {
namespace {

bool is_leftovers_folder(std::string_view name) {
  // Previews and waste baskets of file managers, of Synology's and QNAP's servers, macOS' part of zip files,
  // Windows' on shared disks, Jupyter's copies.
  constexpr std::string_view kFolders[] = {".thumbnails", ".ipynb_checkpoints", "@eaDir",
                                           "#recycle",    "@Recycle",           "@Recently-Snapshot",
                                           "__MACOSX",    "$RECYCLE.BIN",       "System Volume Information"};
  return std::find(std::begin(kFolders), std::end(kFolders), name) != std::end(kFolders);
}

}  // namespace

std::string lower_ascii(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

std::string_view last_part(std::string_view name) {
  const size_t slash = name.rfind('/');
  return slash == std::string_view::npos ? name : name.substr(slash + 1);
}

std::string lower_extension(std::string_view name) {
  const std::string_view base = last_part(name);
  const size_t dot = base.rfind('.');
  return dot == std::string_view::npos || dot == 0 ? "" : lower_ascii(base.substr(dot));
}

std::span<const std::string_view> picture_extensions() {
  static constexpr std::string_view kExtensions[] = {".jpg", ".jpeg", ".png",  ".webp", ".gif",
                                                     ".bmp", ".tif",  ".tiff", ".tga",  ".ppm",
                                                     ".pgm", ".pnm",  ".psd"};
  return kExtensions;
}

bool is_picture_extension(std::string_view extension) {
  return std::ranges::count(picture_extensions(), extension) > 0;
}

bool is_caption_extension(std::string_view extension) { return extension == ".txt" || extension == ".json"; }

bool has_picture_extension(std::string_view name) { return is_picture_extension(lower_extension(name)); }

bool is_leftover(std::string_view name) {
  const std::string_view base = last_part(name);
  return (!base.empty() && base.front() == '.') || is_leftovers_folder(base);
}

bool lies_in_leftovers(std::string_view name) {
  for (size_t slash; (slash = name.find('/')) != std::string_view::npos; name.remove_prefix(slash + 1)) {
    if (is_leftovers_folder(name.substr(0, slash))) return true;
  }
  return false;
}

}  // namespace cuclip
