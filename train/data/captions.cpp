#include "train/data/captions.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/common/check.h"
#include "train/data/sample.h"

namespace cuclip {
namespace {

using nlohmann::json;

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
