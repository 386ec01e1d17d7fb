// One set can only contain another where it contains some of the other's bytes: the first and the last that are
// not zero, with at least one bit each. So pairs are first sieved by two bytes of either set, 16 to 64 at once:
// the row's two bytes against the columns' bytes in the same places, and the columns' two bytes against the
// row's in theirs, which a shuffle finds. Of sets with few bits in common with most others hardly any pair is
// left, and what is left is compared whole.
#include "kernels/contrastive_loss/left_out_pairs.h"

#include <algorithm>
#include <cstring>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/contrastive_loss/left_out_pairs.cpp"
#include "kernels/common/simd_targets.h"

#include "hwy/foreach_target.h"
#include "kernels/common/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace cuclip::HWY_NAMESPACE {
namespace {

using U8 = hn::ScalableTag<uint8_t>;
using VU8 = hn::Vec<U8>;

HWY_INLINE int64_t byte_lanes() { return static_cast<int64_t>(hn::Lanes(U8())); }

// The bytes of byte_lanes() columns, from column j on: bytes r of all words first, then of each word q.
void separate_bytes(const uint8_t* sets, int64_t j, LeftOutPairs& pairs) {
  const U8 d;
  alignas(64) uint8_t words[4][4 * HWY_MAX_BYTES];
  VU8 v[4];
  for (int64_t part = 0; part < 4; ++part) {
    hn::LoadInterleaved4(d, sets + part * 4 * byte_lanes(), v[0], v[1], v[2], v[3]);
    for (int r = 0; r < 4; ++r) hn::Store(v[r], d, words[r] + part * byte_lanes());
  }
  for (int r = 0; r < 4; ++r) {
    hn::LoadInterleaved4(d, words[r], v[0], v[1], v[2], v[3]);
    for (int q = 0; q < 4; ++q) hn::Store(hn::Not(v[q]), d, pairs.missing[4 * q + r] + j);
  }
}

// The columns in whole vectors; what is beyond the last column is an empty set.
void separate_columns(const uint8_t* sets, int64_t columns, LeftOutPairs& pairs) {
  constexpr int64_t kBytes = LeftOutPairs::kBytesOfSet;
  int64_t j = 0;
  for (; j + byte_lanes() <= columns; j += byte_lanes()) separate_bytes(sets + j * kBytes, j, pairs);
  if (j == columns) return;
  uint8_t rest[kBytes * HWY_MAX_BYTES] = {};
  std::copy(sets + j * kBytes, sets + columns * kBytes, rest);
  separate_bytes(rest, j, pairs);
}

// The first and last bytes of the columns' sets; an empty set's are 0, in any place.
void find_bytes(int64_t columns, LeftOutPairs& pairs) {
  const U8 d;
  const VU8 zero = hn::Zero(d);
  for (int64_t j = 0; j < columns; j += byte_lanes()) {
    VU8 first = zero, first_place = zero, last = zero, last_place = zero;
    for (int64_t place = 0; place < LeftOutPairs::kBytesOfSet; ++place) {
      const VU8 here = hn::Set(d, static_cast<uint8_t>(place));
      const VU8 byte = hn::Not(hn::Load(d, pairs.missing[place] + j));
      const auto none_yet = hn::Eq(first, zero);
      first = hn::IfThenElse(none_yet, byte, first);
      first_place = hn::IfThenElse(none_yet, here, first_place);
      const auto empty = hn::Eq(byte, zero);
      last = hn::IfThenElse(empty, last, byte);
      last_place = hn::IfThenElse(empty, last_place, here);
    }
    hn::Store(first, d, pairs.first_byte + j);
    hn::Store(first_place, d, pairs.first_place + j);
    hn::Store(last, d, pairs.last_byte + j);
    hn::Store(last_place, d, pairs.last_place + j);
  }
}

// A set in two halves.
struct Set {
  uint64_t low, high;
  explicit Set(const int32_t* words) { std::memcpy(this, words, sizeof(*this)); }
  bool empty() const { return (low | high) == 0; }
  bool within(const Set& other) const { return ((low & ~other.low) | (high & ~other.high)) == 0; }
};
static_assert(sizeof(Set) == LeftOutPairs::kBytesOfSet);

// Those bits of the columns' bytes that the row's bytes in the given places do not have.
HWY_INLINE VU8 beyond(VU8 row_missing, const uint8_t* bytes, const uint8_t* places) {
  const U8 d;
  return hn::And(hn::Load(d, bytes), hn::TableLookupBytes(row_missing, hn::Load(d, places)));
}

// Bits of the columns that pass the sieve for a row with this set, which is not empty.
void sieve_row(const uint8_t* set, int64_t columns, const LeftOutPairs& pairs, uint8_t* bits) {
  const U8 d;
  const Set halves(reinterpret_cast<const int32_t*>(set));
  const int first_bit = halves.low ? std::countr_zero(halves.low) : 64 + std::countr_zero(halves.high);
  const int last_bit = halves.high ? 127 - std::countl_zero(halves.high) : 63 - std::countl_zero(halves.low);
  const uint8_t *first_missing = pairs.missing[first_bit / 8], *last_missing = pairs.missing[last_bit / 8];
  const VU8 first = hn::Set(d, set[first_bit / 8]), last = hn::Set(d, set[last_bit / 8]);
  const VU8 row_missing = hn::Not(hn::LoadDup128(d, set)), zero = hn::Zero(d);
  for (int64_t j = 0; j < columns; j += byte_lanes()) {
    const VU8 not_in_column =
        hn::Or(hn::And(first, hn::Load(d, first_missing + j)), hn::And(last, hn::Load(d, last_missing + j)));
    const VU8 not_in_row = hn::Or(beyond(row_missing, pairs.first_byte + j, pairs.first_place + j),
                                  beyond(row_missing, pairs.last_byte + j, pairs.last_place + j));
    hn::StoreMaskBits(d, hn::Eq(hn::Min(not_in_column, not_in_row), zero), bits + j / 8);
  }
}

// Keeps those of the sieved columns of row i that are left out.
void confirm_row(const TileWords& tile, int64_t i, LeftOutPairs& pairs) {
  const Set row(tile.row + i * kWordsOfSet);
  const int64_t positive = tile.first_positive + i;
  for (int64_t w = 0; w < LeftOutPairs::kWordsOfRow; ++w) {
    uint64_t kept = 0;
    const int64_t end = tile.columns - w * 64;
    uint64_t sieved = pairs.bits[i][w];
    if (end < 64) sieved &= end > 0 ? (uint64_t{1} << end) - 1 : 0;
    for (; sieved != 0; sieved &= sieved - 1) {
      const int64_t j = w * 64 + std::countr_zero(sieved);
      const Set column(tile.column + j * kWordsOfSet);
      const bool shared = row.within(column) || column.within(row);
      if (shared && !column.empty() && j != positive) kept |= sieved & -sieved;
    }
    pairs.bits[i][w] = kept;
  }
}

void left_out(const TileWords& tile, LeftOutPairs& pairs) {
  separate_columns(reinterpret_cast<const uint8_t*>(tile.column), tile.columns, pairs);
  find_bytes(tile.columns, pairs);
  const auto* rows = reinterpret_cast<const uint8_t*>(tile.row);
  for (int64_t i = 0; i < tile.rows; ++i) {
    std::fill_n(pairs.bits[i], LeftOutPairs::kWordsOfRow, 0);
    if (Set(tile.row + i * kWordsOfSet).empty()) continue;
    sieve_row(rows + i * LeftOutPairs::kBytesOfSet, tile.columns, pairs,
              reinterpret_cast<uint8_t*>(pairs.bits[i]));
  }
  for (int64_t i = 0; i < tile.rows; ++i) confirm_row(tile, i, pairs);
}

}  // namespace
}  // namespace cuclip::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cuclip {
namespace {

HWY_EXPORT(left_out);

}  // namespace

void find_left_out(const TileWords& tile, LeftOutPairs& pairs) {
  HWY_DYNAMIC_DISPATCH(left_out)(tile, pairs);
}

}  // namespace cuclip
#endif  // HWY_ONCE
