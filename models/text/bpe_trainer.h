// Learns the merges of a byte-level BPE vocabulary from captions (Sennrich et al., 2016, "Neural Machine
// Translation of Rare Words with Subword Units", algorithm 1).
#pragma once

#include <cstdint>
#include <span>
#include <string>

#include "models/text/tokenizer.h"

namespace cuclip {

/// Merges the most frequent neighbours of the captions' words (cleaned and split as for encoding) again and
/// again, until the vocabulary has vocab_size ids (512 bytes, the merges, start and end of text) or no pair
/// occurs twice: the result may be smaller than asked for. Among equally frequent pairs the one with the
/// lower symbols wins, so the same captions in any order give the same merges. Nothing is learned from words
/// of more than 256 bytes. Throws InputError when vocab_size < 514 or there is no word in the captions.
Tokenizer train_bpe(std::span<const std::string> captions, int64_t vocab_size);

}  // namespace cuclip
