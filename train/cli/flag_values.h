// What values a flag takes: its help shows them, and its messages name them.
#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/words.h"
#include "train/loop/number_range.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace cuclip {

/// Refuses an empty value, such as that of an unset shell variable. parse_literally (usage.h) makes this so
/// for every argument but positionals that may be left out.
CLI::Option* never_empty(CLI::Option* option);

/// Makes the option take only whole numbers, or numbers, in this range, on the command line and from a
/// configuration file. Anything else is refused with an InputError naming the flag, the range and what was
/// given.
CLI::Option* limit(CLI::Option* option, const WholeRange& range);
CLI::Option* limit(CLI::Option* option, const RealRange& range);

/// Makes the option take only these words, which must live as long as it; refuses others as limit() does.
CLI::Option* one_of(CLI::Option* option, const std::vector<std::string_view>& words);

/// Adds an option whose help shows these words, of which `now` is the default, and hands what is given to
/// `set`, which throws InputError for what means nothing.
CLI::Option* add_choice(CLI::App* app, const std::string& flag, std::span<const std::string_view> words,
                        std::string_view now, const std::function<void(const std::string&)>& set,
                        const std::string& help);

/// The same for an enumeration (core/words.h), which must live as long as the option.
template <typename E>
CLI::Option* add_choice(CLI::App* app, const std::string& flag, E& value, const std::string& help) {
  const auto set = [flag, &value](const std::string& text) { value = parse_word<E>(flag, text); };
  return add_choice(app, flag, kWords<E>, word(value), set, help);
}

}  // namespace cuclip
