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

}  // namespace cuclip
