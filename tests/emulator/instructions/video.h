// What both kinds of video instructions share: PTX ISA 9.0, section 9.7.19.
#pragma once

#include <algorithm>
#include <array>
#include <optional>
#include <utility>

#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {

enum class Video : u32 { add, sub, average, difference, min, max, shl, shr, eq, ne, lt, le, gt, ge };

/// The operation that an instruction's name, without the number of its parts, stands for.
inline std::optional<Video> video_operation(std::string_view name) {
  static constexpr std::array<std::pair<std::string_view, Video>, 8> kNames{{{"vadd", Video::add},
                                                                             {"vsub", Video::sub},
                                                                             {"vavrg", Video::average},
                                                                             {"vabsdiff", Video::difference},
                                                                             {"vmin", Video::min},
                                                                             {"vmax", Video::max},
                                                                             {"vshl", Video::shl},
                                                                             {"vshr", Video::shr}}};
  for (const auto& [each, operation] : kNames) {
    if (each == name) return operation;
  }
  return std::nullopt;
}

/// The comparison that a word of vset stands for.
inline std::optional<Video> video_comparison(std::string_view word) {
  static constexpr std::array<std::string_view, 6> kNames{"eq", "ne", "lt", "le", "gt", "ge"};
  for (u32 i = 0; i < kNames.size(); ++i) {
    if (kNames[i] == word) return static_cast<Video>(static_cast<u32>(Video::eq) + i);
  }
  return std::nullopt;
}

/// Operates on parts of words: at most 33 bits go in. Not shifts, of which more come out.
inline i64 apply(Video operation, i64 a, i64 b) {
  switch (operation) {
    case Video::add:
      return a + b;
    case Video::sub:
      return a - b;
    case Video::average:
      return (a + b + 1) >> 1;
    case Video::difference:
      return a > b ? a - b : b - a;
    case Video::min:
      return std::min(a, b);
    case Video::max:
      return std::max(a, b);
    case Video::eq:
      return a == b;
    case Video::ne:
      return a != b;
    case Video::lt:
      return a < b;
    case Video::le:
      return a <= b;
    case Video::gt:
      return a > b;
    default:
      return a >= b;
  }
}

/// Bits of a word, sign-extended or not.
inline i64 part_of(u32 word, u32 shift, u32 bits, bool is_signed) {
  const u64 value = word >> shift & ((u64{1} << bits) - 1);
  const bool negative = is_signed && value >> (bits - 1) != 0;
  return static_cast<i64>(value) - (negative ? i64{1} << bits : 0);
}

/// What so many bits can hold.
struct Range {
  i64 low, high;
};
inline Range range_of(u32 bits, bool is_signed) {
  const i64 low = is_signed ? -(i64{1} << (bits - 1)) : 0;
  return {low, low + (i64{1} << bits) - 1};
}

/// Whether an operand's type is s32 and not u32, the only two that there are.
inline bool signed_type(Decoder& d, std::string_view word) {
  if (word != "u32" && word != "s32") d.refuse("this type is not supported");
  return word == "s32";
}

}  // namespace emu
