#include "train/data/captions.h"

#include <utf8proc.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/common/check.h"
#include "train/data/sample.h"

namespace cuclip {
namespace {

using nlohmann::json;

enum class CharacterKind { keep, space, drop };

bool is_noncharacter(utf8proc_int32_t c) { return (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe; }

CharacterKind kind_of(utf8proc_int32_t c) {
  constexpr utf8proc_int32_t kZeroWidthNonJoiner = 0x200c, kZeroWidthJoiner = 0x200d;
  if (c > 0x20 && c < 0x7f) return CharacterKind::keep;
  if (is_noncharacter(c)) return CharacterKind::drop;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_ZS:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return CharacterKind::space;
    case UTF8PROC_CATEGORY_CF: {
      const bool joiner = c == kZeroWidthNonJoiner || c == kZeroWidthJoiner;
      const bool tag = c >= 0xe0020 && c <= 0xe007f;  // spells the flags of England, Scotland and Wales
      return joiner || tag ? CharacterKind::keep : CharacterKind::drop;
    }
    default:
      return CharacterKind::keep;
  }
}

// Shortens text to at most max_bytes, preferably between two words.
void cut(std::string& text, size_t max_bytes) {
  size_t end = max_bytes;
  while (end > 0 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;  // not inside a code point
  const size_t space = text.rfind(' ', end);
  if (space != std::string::npos && space >= max_bytes - max_bytes / 4) end = space;
  text.resize(end);
  while (!text.empty() && text.back() == ' ') text.pop_back();
}

// A copy in which NaN, Infinity and -Infinity outside strings are null.
std::string without_non_finite(std::string_view text) {
  std::string out;
  bool in_string = false;
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    for (const std::string_view word : {"NaN", "Infinity", "-Infinity"}) {
      if (!in_string && text.substr(at, word.size()) == word) length = word.size();
    }
    if (length > 0) {
      out += "null";
    } else {
      length = in_string && text[at] == '\\' ? 2 : 1;  // the escaped character may be a quote
      if (text[at] == '"') in_string = !in_string;
      out += text.substr(at, length);
    }
    at += length;
  }
  return out;
}

// JSON as Python's json module reads and writes it: numbers that are not finite have names. Discarded if it
// is not JSON.
json parse_as_python(std::string_view text) {
  json document = json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) document = json::parse(without_non_finite(text), nullptr, false);
  return document;
}

}  // namespace

NormalisedCaption normalise_caption(std::string_view text, int64_t max_bytes) {
  const auto limit = static_cast<size_t>(std::max<int64_t>(max_bytes, 1));
  NormalisedCaption result;
  std::string& out = result.text;
  bool pending_space = false;
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  auto left = static_cast<utf8proc_ssize_t>(text.size());
  while (left > 0) {
    utf8proc_int32_t c = 0;
    const utf8proc_ssize_t length = utf8proc_iterate(bytes, left, &c);
    if (length <= 0) return {.text = "", .state = CaptionState::invalid_utf8};
    const CharacterKind kind = kind_of(c);
    if (kind == CharacterKind::space) pending_space = true;
    // Beyond the limit only validity still matters.
    if (kind == CharacterKind::keep && out.size() <= limit) {
      if (pending_space && !out.empty()) out += ' ';
      pending_space = false;
      out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
    }
    bytes += length;
    left -= length;
  }
  if (out.size() > limit) {
    cut(out, limit);
    result.state = CaptionState::cut;
  }
  if (out.empty()) result.state = CaptionState::empty;
  return result;
}

void CaptionList::add(std::string_view text, int64_t max_bytes) {
  NormalisedCaption caption = normalise_caption(text, max_bytes);
  cut += caption.state == CaptionState::cut;
  empty += caption.state == CaptionState::empty;
  invalid_utf8 += caption.state == CaptionState::invalid_utf8;
  if (caption.text.empty()) return;
  if (std::find(captions.begin(), captions.end(), caption.text) == captions.end()) {
    captions.push_back(std::move(caption.text));
  }
}

CaptionList captions_from_text(std::string_view text, int64_t max_bytes) {
  CaptionList list;
  list.add(text, max_bytes);
  return list;
}

CaptionList captions_from_json(std::string_view text, std::string_view name, int64_t max_bytes) {
  const json document = parse_as_python(text);
  CUCLIP_CHECK(!document.is_discarded(), "{}: expected JSON, found something else", name);
  CaptionList list;
  auto add = [&](const json& value, const char* what) {
    if (value.is_null()) return;  // what Python writes for None
    if (value.is_string()) return list.add(value.get_ref<const std::string&>(), max_bytes);
    CUCLIP_CHECK(value.is_array(), "{}: expected {} to be a string or a list of strings, found {}", name,
                 what, value.type_name());
    for (const json& entry : value) {
      CUCLIP_CHECK(entry.is_string(), "{}: expected a list of strings in {}, found {}", name, what,
                   entry.type_name());
      list.add(entry.get_ref<const std::string&>(), max_bytes);
    }
  };
  if (!document.is_object()) {
    add(document, "the document");
    return list;
  }
  for (const char* key : {"caption", "captions"}) {
    if (document.contains(key)) add(document.at(key), key);
  }
  return list;
}

std::vector<std::string> read_caption_files(const CaptionFiles& files, std::string_view name,
                                            int64_t max_bytes) {
  if (files.json) {
    try {
      CaptionList list = captions_from_json(*files.json, name, max_bytes);
      if (!list.captions.empty() || !files.text) return take_captions(std::move(list), name);
    } catch (const SampleError&) {
      throw;
    } catch (const InputError& error) {
      if (!files.text) throw SampleError("unreadable caption", error.what());
    }
  }
  return take_captions(captions_from_text(files.text.value_or(""), max_bytes), name);
}

std::vector<std::string> take_captions(CaptionList&& list, std::string_view name) {
  if (!list.captions.empty()) return std::move(list.captions);
  if (list.invalid_utf8 > 0) {
    throw SampleError("caption not UTF-8", fmt::format("{}: the caption is not valid UTF-8", name));
  }
  if (list.empty > 0) throw SampleError("empty caption", fmt::format("{}: the caption is empty", name));
  throw SampleError("no caption",
                    fmt::format("{}: expected a \"caption\" or \"captions\", found neither, or null", name));
}

}  // namespace cuclip
