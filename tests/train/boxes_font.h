// A font that tests write themselves.
#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <string>
#include <vector>

namespace cuclip::test {

struct BoxCharacter {
  std::string code;  // hexadecimal
  int width;         // a multiple of 4
};

/// A bitmap font (BDF, a text format that FreeType reads): each character is a black box of its width and the
/// height, in pixels.
inline std::string boxes_font(const std::vector<BoxCharacter>& characters, int height) {
  int widest = 0;
  for (const BoxCharacter& character : characters) widest = std::max(widest, character.width);
  std::string font = fmt::format(
      "STARTFONT 2.1\nFONT -t-boxes-medium-r-normal--{1}-{1}0-75-75-c-{0}0-iso10646-1\nSIZE {1} 75 75\n"
      "FONTBOUNDINGBOX {0} {1} 0 0\nSTARTPROPERTIES 4\nFONT_ASCENT {1}\nFONT_DESCENT 0\n"
      "CHARSET_REGISTRY \"ISO10646\"\nCHARSET_ENCODING \"1\"\nENDPROPERTIES\nCHARS {2}\n",
      widest, height, characters.size());
  for (const auto& [code, width] : characters) {
    font += fmt::format("STARTCHAR u{0}\nENCODING {1}\nSWIDTH 500 0\nDWIDTH {2} 0\nBBX {2} {3} 0 0\nBITMAP\n",
                        code, std::stoul(code, nullptr, 16), width, height);
    for (int y = 0; y < height; ++y) font += std::string(static_cast<size_t>(width / 4), 'F') + "\n";
    font += "ENDCHAR\n";
  }
  return font + "ENDFONT\n";
}

inline std::string boxes_font(const std::vector<std::string>& codes, int width, int height) {
  std::vector<BoxCharacter> characters;
  for (const std::string& code : codes) characters.push_back({code, width});
  return boxes_font(characters, height);
}

}  // namespace cuclip::test
