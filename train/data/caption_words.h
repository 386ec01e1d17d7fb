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

/// In lower case, without the s of an English plural: words that fold alike count as the same. No singular
/// (that is singular_phrase): "bus" and "buses" need only not be taken for "but".
std::string fold_word(std::string_view word);

/// The folded words of a text, in order.
std::vector<std::string> folded_words(std::string_view text);

/// The folded words joined with spaces: captions with the same key say the same. Without numbers, "card 7"
/// and "card 8" have the same key too.
enum class Numbers { keep, leave_out };
std::string caption_key(std::string_view caption, Numbers numbers = Numbers::keep);

bool is_digits(std::string_view word);

/// What the separator divides a text into, each part without the blanks around it. There is always one.
std::vector<std::string> split_parts(std::string_view text, char separator);

}  // namespace cuclip
