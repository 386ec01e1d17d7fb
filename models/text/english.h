// Words of English text: lower case, accents, articles.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

std::string lower_utf8(std::string_view text);  // bytes that are not UTF-8 stay as they are

/// In lower case, without the accents of Latin letters: "Frédéric" -> "frederic".
std::string without_accents(std::string_view text);

/// The phrase after "a", or after "an" where it begins with a, e, i, o or u, with or without an accent. It
/// goes by the letter: "an apple", and also "an unicorn".
std::string with_article(const std::string& phrase);
std::vector<std::string> with_articles(std::span<const std::string> phrases);

/// The other form of a phrase: without the article that it begins with ("a", "an", "the"), or with_article().
std::string with_toggled_article(const std::string& phrase);

/// The noun that an English noun phrase is about, by the order of its words: "bicycle" of "a red bicycle",
/// "bird" of "a blue bird in the snow". Empty where it is the whole phrase but for the article, where the
/// phrase is a list ("a cat and a dog") or has an "of", and for text with punctuation other than at its end.
std::string head_of_phrase(std::string_view phrase);

}  // namespace cuclip
