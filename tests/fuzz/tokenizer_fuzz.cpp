// The tokeniser on arbitrary bytes: as a merges file, plain or compressed, that is read or refused; and as a
// text, which always has ids that stand for the whole cleaned text.
#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/common/check.h"
#include "models/files/gzip.h"
#include "models/text/bpe_merges.h"
#include "models/text/text_cleaning.h"
#include "models/text/tokenizer.h"
#include "models/text/unicode.h"

namespace {

std::string without_spaces(std::string text) {
  std::erase(text, ' ');
  return text;
}

void check_text(const cuclip::Tokenizer& tokenizer, std::string_view text) {
  const std::string cleaned = cuclip::clean_caption(text);
  if (cuclip::encode_utf8(cuclip::decode_utf8(cleaned)) != cleaned) std::abort();
  if (cleaned.starts_with(' ') || cleaned.ends_with(' ') || cleaned.find("  ") != std::string::npos)
    std::abort();
  const std::vector<int32_t> ids = tokenizer.encode(text);
  const auto is_special = [&](int32_t id) { return id >= tokenizer.start_token(); };
  if (std::any_of(ids.begin(), ids.end(), is_special)) return;  // "<|endoftext|>": decoding ends there
  if (without_spaces(tokenizer.decode(ids)) != without_spaces(cleaned)) std::abort();

  constexpr int64_t kLength = 9;
  const std::string texts[] = {std::string(text)};
  const std::vector<int32_t> row = tokenizer.encode_padded(texts, kLength);
  const size_t kept = std::min<size_t>(ids.size(), kLength - 2);
  if (row.size() != kLength || row[0] != tokenizer.start_token() || row[kept + 1] != tokenizer.end_token() ||
      !std::equal(ids.begin(), ids.begin() + static_cast<std::ptrdiff_t>(kept), row.begin() + 1))
    std::abort();
}

void check_merges(std::string_view text) {
  constexpr int64_t kMaxMerges = 64;
  std::vector<cuclip::Merge> merges;
  try {
    merges = cuclip::parse_merges(text, "input", kMaxMerges);
  } catch (const cuclip::InputError&) {
    return;
  }
  if (cuclip::parse_merges(cuclip::format_merges(merges), "written") != merges) std::abort();
  check_text(cuclip::Tokenizer(merges), "the hello world of \xC3\xA9t\xC3\xA9 aaaaaaaa 2024!");
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const cuclip::Tokenizer tokenizer = cuclip::Tokenizer::from_merges_text(
      "#version: 0.2\nt h\nth e</w>\na a\naa aa\naa a</w>\nl l\nll o</w>\n\xC3\x83 \xC2\xA9");
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_text(tokenizer, input);
  check_merges(input);
  if (!cuclip::is_gzip(input)) return 0;
  try {
    check_merges(cuclip::gunzip(input, "input", 1 << 16));
  } catch (const cuclip::InputError&) {
  }
  return 0;
}
