#include "train/cli/flag_values.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

template <typename Range>
CLI::Option* limit_to(CLI::Option* option, const Range& range) {
  // The number is passed on as we read it: CLI11 would take 010 for 8 and 0x10 for 16.
  const auto read = [option, range](std::string& text) {
    text = fmt::format("{}", parse_number(option->get_name(), range, text));
    return std::string();
  };
  return option->transform(CLI::Validator(read, short_form(range)));
}

}  // namespace

CLI::Option* never_empty(CLI::Option* option) {
  const auto check = [option](const std::string& value) {
    CUCLIP_CHECK(!value.empty(), "{} must not be empty", option->get_name());
    return std::string();
  };
  return option->check(CLI::Validator(check, ""));
}

CLI::Option* limit(CLI::Option* option, const WholeRange& range) { return limit_to(option, range); }
CLI::Option* limit(CLI::Option* option, const RealRange& range) { return limit_to(option, range); }

CLI::Option* one_of(CLI::Option* option, const std::vector<std::string_view>& words) {
  const auto check = [option, words](const std::string& text) {
    place_of_word(option->get_name(), words, text);
    return std::string();
  };
  return option->check(CLI::Validator(check, fmt::format("{{{}}}", fmt::join(words, ","))));
}

CLI::Option* add_choice(CLI::App* app, const std::string& flag, std::span<const std::string_view> words,
                        std::string_view now, const std::function<void(const std::string&)>& set,
                        const std::string& help) {
  CLI::Option* option = app->add_option_function<std::string>(flag, set, help);
  const auto anything = [](const std::string&) { return std::string(); };
  option->check(CLI::Validator(anything, fmt::format("{{{}}}", fmt::join(words, ","))));
  option->default_str(std::string(now));
  return option;
}

}  // namespace cuclip
