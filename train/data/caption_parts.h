// Parts of captions, worded as people search for pictures, and the words by which captions are compared.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/rng.h"

namespace cuclip {

/// What somebody might type who wants the picture with this caption: of "Red bicycle, vehicle, old", one of
/// "Red bicycle", "Red", "bicycle", "vehicle" and "old". Parts are what commas separate; the first, the
/// title, also gives its words, without articles, prepositions and the like, numbers and single letters.
/// Each once, in that order. Empty if the caption has no such word.
std::vector<std::string> caption_parts(std::string_view caption);

/// A phrase as a query: as it is, with its article, or within a template such as "a photo of a {}".
std::string as_query(const std::string& phrase, SplitMix64& rng);

/// A Bloom filter of a caption's words, two bits for each: what ops::contrastive_loss takes for one pair.
/// Words that fold alike (fold_word) count as the same; articles, prepositions and the like do not count, nor
/// does the words' order. If a caption has all the words of another, its set contains the other's; the other
/// way round holds but for rare collisions. A caption of more than some 23 words would seem to contain those
/// of many others: its set is empty, which is to leave nothing out
/// (docs/decisions/0012-duplicates-in-a-batch.md).
using WordSet = std::array<int32_t, 4>;
WordSet word_set(std::string_view caption);

}  // namespace cuclip
