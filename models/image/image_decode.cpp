#include "models/image/image_decode.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "core/file_io.h"
#include "models/image/image_formats.h"

namespace cuclip {
namespace {

using formats::Bytes;
using namespace std::string_view_literals;

bool has(Bytes bytes, size_t offset, std::string_view magic) {
  return bytes.size() >= offset + magic.size() &&
         std::equal(magic.begin(), magic.end(), bytes.begin() + static_cast<std::ptrdiff_t>(offset),
                    [](char a, uint8_t b) { return static_cast<uint8_t>(a) == b; });
}

// The first 64 characters of a text, white space and a byte-order mark skipped, in lower case; "" for binary
// data.
std::string text_start(Bytes bytes) {
  size_t begin = has(bytes, 0, "\xEF\xBB\xBF") ? 3 : 0;
  while (begin < bytes.size() && std::isspace(bytes[begin])) ++begin;
  std::string start;
  for (uint8_t c : bytes.subspan(begin, std::min<size_t>(64, bytes.size() - begin))) {
    if (c < 0x20 && !std::isspace(c)) return "";
    start += static_cast<char>(std::tolower(c));
  }
  return start;
}

bool is_pnm(Bytes bytes, std::string_view kinds) {
  return bytes.size() > 2 && bytes[0] == 'P' && kinds.find(static_cast<char>(bytes[1])) != kinds.npos &&
         (std::isspace(bytes[2]) || bytes[2] == '#');
}

struct Format {
  std::string_view name;
  bool (*begins)(Bytes);
  Image (*decode)(Bytes, std::string_view, const DecodeOptions&);
};

constexpr std::array<Format, 9> kFormats = {{
    {"JPEG", [](Bytes b) { return has(b, 0, "\xFF\xD8\xFF"); }, formats::decode_jpeg},
    {"PNG", [](Bytes b) { return has(b, 0, "\x89PNG\r\n\x1A\n"); }, formats::decode_png},
    {"WebP", [](Bytes b) { return has(b, 0, "RIFF") && has(b, 8, "WEBP"); }, formats::decode_webp},
    {"GIF", [](Bytes b) { return has(b, 0, "GIF87a") || has(b, 0, "GIF89a"); }, formats::decode_gif},
    {"BMP", [](Bytes b) { return has(b, 0, "BM"); }, formats::decode_bmp},
    {"PSD", [](Bytes b) { return has(b, 0, "8BPS"); }, formats::decode_psd},
    {"PNM", [](Bytes b) { return is_pnm(b, "56"); }, formats::decode_pnm},
    {"TIFF",
     [](Bytes b) {
       return has(b, 0, "II*\0"sv) || has(b, 0, "MM\0*"sv) || has(b, 0, "II+\0"sv) || has(b, 0, "MM\0+"sv);
     },
     formats::decode_tiff},
    {"TGA", formats::is_tga, formats::decode_tga},  // last: it has no signature
}};

// What a file that is no picture of kFormats is instead, as the middle of a sentence.
std::string describe(Bytes bytes) {
  struct Signature {
    size_t offset;
    std::string_view magic, description;
  };
  static constexpr std::array<Signature, 9> kSignatures = {{
      {4, "ftypavi", "an AVIF picture"},
      {4, "ftyp", "an HEIF picture or a video (ISO media file)"},
      {0, "\xFF\x0A", "a JPEG XL picture"},
      {0, "\x00\x00\x00\x0CJXL "sv, "a JPEG XL picture"},
      {4, "jP  ", "a JPEG 2000 picture"},
      {0, "\0\0\1\0"sv, "a Windows icon"},
      {0, "%PDF", "a PDF document"},
      {0, "PK\3\4", "a ZIP archive"},
      {0, "\x1F\x8B", "gzip-compressed data"},
  }};
  for (const Signature& s : kSignatures) {
    if (has(bytes, s.offset, s.magic)) return std::string(s.description);
  }
  if (is_pnm(bytes, "12347")) return "a PNM picture of kind P" + std::string(1, static_cast<char>(bytes[1]));
  const std::string text = text_start(bytes);
  if (text.starts_with("<!doctype html") || text.starts_with("<html") || text.starts_with("<head")) {
    return "an HTML page";
  }
  if (text.starts_with("<svg") || text.find("<svg") != std::string::npos) return "an SVG drawing";
  if (text.starts_with("<?xml")) return "an XML file";
  if (text.starts_with("<")) return "an HTML or XML page";
  std::string hex;
  for (uint8_t c : bytes.first(std::min<size_t>(8, bytes.size()))) hex += fmt::format(" {:02x}", c);
  return "a file of an unknown format that begins with the bytes" + hex;
}

}  // namespace

std::vector<std::string_view> picture_formats() {
  std::vector<std::string_view> names;
  for (const Format& format : kFormats) {
    if (format.name != "TIFF" || formats::has_tiff()) names.push_back(format.name);
  }
  return names;
}

Image decode_image(std::span<const std::byte> raw, std::string_view name, const DecodeOptions& options) {
  const Bytes bytes(reinterpret_cast<const uint8_t*>(raw.data()), raw.size());
  CUCLIP_CHECK(!bytes.empty(), "{}: the file is empty, expected a picture", name);
  for (const Format& format : kFormats) {
    if (format.begins(bytes)) return format.decode(bytes, name, options);
  }
  fail_input("{}: this is {}, expected a picture ({}; of PNM P5 and P6)", name, describe(bytes),
             fmt::join(picture_formats(), ", "));
}

Image load_image(const std::filesystem::path& path, const DecodeOptions& options, Pipes pipes) {
  const std::string bytes = read_file(path, kMaxReadBytes, pipes);
  return decode_image(std::as_bytes(std::span<const char>(bytes)), path.string(), options);
}

}  // namespace cuclip
