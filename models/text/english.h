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

/// What blanks, tabs and line ends separate.
std::vector<std::string> words_between_blanks(std::string_view text);

/// The phrase after "a", or after "an" where it begins with a, e, i, o or u, with or without an accent. It
/// goes by the letter: "an apple", and also "an unicorn".
std::string with_article(const std::string& phrase);
std::vector<std::string> with_articles(std::span<const std::string> phrases);

/// A phrase without what precedes the noun and says nothing about it: articles, possessives, small numbers
/// ("the bird", "my two birds"), "a photo of" and the like, and without punctuation at its end. Never empty
/// where the phrase has something other than blanks and such punctuation.
std::string bare_phrase(std::string_view phrase);

/// The phrase with its last word in the singular, by the spelling of English plurals and a few irregular
/// ones: "two big buses" -> "two big bus", "old houses" -> "old house", "mice" -> "mouse". It goes by the
/// letters: "scissors" -> "scissor".
std::string singular_phrase(const std::string& phrase);

/// The last word of an English noun phrase before what follows its noun, which is what the phrase is about:
/// "bicycle" of "a red bicycle", "bird" of "a blue bird in the snow". It goes by the order of the words and
/// knows no verbs. Empty where it is the whole bare phrase, where the phrase is a list ("a cat and a dog") or
/// has an "of", and for text with punctuation other than at its end.
std::string head_of_phrase(std::string_view phrase);

}  // namespace cuclip
