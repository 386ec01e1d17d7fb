#include "train/cli/flag_values.h"

#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>

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

CLI::Option* limit(CLI::Option* option, const WholeRange& range) { return limit_to(option, range); }
CLI::Option* limit(CLI::Option* option, const RealRange& range) { return limit_to(option, range); }

CLI::Option* one_of(CLI::Option* option, const std::vector<std::string>& words) {
  const auto check = [option, words](const std::string& text) {
    CUCLIP_CHECK(std::find(words.begin(), words.end(), text) != words.end(),
                 "{} must be one of {}, got \"{}\"", option->get_name(), fmt::join(words, ", "), text);
    return std::string();
  };
  return option->check(CLI::Validator(check, fmt::format("{{{}}}", fmt::join(words, ","))));
}

}  // namespace cuclip
