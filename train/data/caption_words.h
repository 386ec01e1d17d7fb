// The words of captions and file names: splitting, comparing.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

/// Runs of letters (apostrophes inside included) and runs of digits: "Bob's 12 cats" -> "Bob's", "12",
/// "cats". Every byte of a character beyond ASCII counts as a letter.
std::vector<std::string> caption_words(std::string_view text);

/// "FatherChristmas" -> "Father Christmas".
std::string split_camel_case(std::string_view text);

/// In lower case, without the ending of an English plural: words that fold alike count as the same.
std::string fold_word(std::string_view word);

/// The folded words of a text, in order.
std::vector<std::string> folded_words(std::string_view text);

/// The folded words joined with spaces: captions with the same key say the same. Without numbers, "card 7"
/// and "card 8" have the same key too.
enum class Numbers { keep, leave_out };
std::string caption_key(std::string_view caption, Numbers numbers = Numbers::keep);

/// In lower case, without the accents of Latin letters: "Frédéric" -> "frederic".
std::string without_accents(std::string_view text);

/// The word after "a", or after "an" where it begins with a, e, i, o or u, with or without an accent. It goes
/// by the letter: "an apple", and also "an unicorn".
std::string with_article(const std::string& word);

bool is_digits(std::string_view word);
std::string lower_utf8(std::string_view text);  // bytes that are not UTF-8 stay as they are

}  // namespace cuclip
