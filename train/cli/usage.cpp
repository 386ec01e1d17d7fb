#include "train/cli/usage.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "kernels/common/check.h"
#include "models/files/names.h"
#include "train/cli/flag_values.h"

namespace cuclip {
namespace {

using Words = std::vector<std::string>;

// Put behind what CLI11 would not take as it is: "[a]", "--json={}", "--out=". No argument holds a NUL of its
// own.
constexpr char kLiteral = '\0';

void take_mark_off(std::string& argument) {
  if (argument.ends_with(kLiteral)) argument.pop_back();
}

void check_switch(CLI::Option* option) {
  const auto check = [option](const std::string& value) {
    CUCLIP_CHECK(value == "true" || value == "false", "{} takes no value, or true or false; got \"{}\"",
                 option->get_name(), value);
    return std::string();
  };
  option->check(CLI::Validator(check, ""));
}

void take_literally(CLI::App* app) {
  const auto take_off = [](std::string& text) {
    take_mark_off(text);
    return std::string();
  };
  for (CLI::Option* option : app->get_options()) {
    option->transform(CLI::Validator(take_off, ""));
    if (option->get_expected_max() == 0)
      check_switch(option);
    else if (option->nonpositional() || option->get_required())
      never_empty(option);
  }
  for (CLI::App* command : app->get_subcommands([](CLI::App*) { return true; })) take_literally(command);
}

// Insertions, deletions, substitutions and swaps of neighbours that lead from a to b.
size_t edit_distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<size_t>> d(a.size() + 1, std::vector<size_t>(b.size() + 1));
  for (size_t i = 0; i <= a.size(); ++i) {
    for (size_t j = 0; j <= b.size(); ++j) {
      if (i == 0 || j == 0) {
        d[i][j] = i + j;
        continue;
      }
      const bool same = a[i - 1] == b[j - 1];
      d[i][j] = std::min({d[i - 1][j] + 1, d[i][j - 1] + 1, d[i - 1][j - 1] + (same ? 0 : 1)});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) d[i][j] = std::min(d[i][j], d[i - 2][j - 2] + 1);
    }
  }
  return d[a.size()][b.size()];
}

// ", did you mean search?", or nothing where no name is near.
std::string suggestion(const std::string& word, const Words& names) {
  constexpr size_t kLongest = 64;  // anything longer is not a misspelt name
  if (word.empty() || word.size() > kLongest || names.empty()) return "";
  const auto nearer = [&](const std::string& a, const std::string& b) {
    return edit_distance(word, a) < edit_distance(word, b);
  };
  const std::string nearest = *std::min_element(names.begin(), names.end(), nearer);
  const size_t near = std::max<size_t>(2, nearest.size() / 3);
  const bool begins_like_it = nearest.starts_with(word) || word.starts_with(nearest);
  return edit_distance(word, nearest) <= near || begins_like_it ? fmt::format(", did you mean {}?", nearest)
                                                                : "";
}

std::vector<const CLI::App*> commands_of(const CLI::App& app) {
  return app.get_subcommands([](const CLI::App*) { return true; });
}

std::string list_of_commands(const CLI::App& app) {
  std::string text;
  for (const CLI::App* command : commands_of(app))
    text += fmt::format("  {:<12}{}\n", command->get_name(), command->get_description());
  return text;
}

// The command that the arguments name, as far as they do.
struct Place {
  const CLI::App* app;
  std::string name;  // "cuclip eval retrieval"
  size_t next = 0;   // the first argument after it
};

Place place_of(const CLI::App& root, const Words& arguments) {
  Place place{&root, root.get_name(), 0};
  for (; place.next < arguments.size(); ++place.next) {
    const auto commands = commands_of(*place.app);
    const auto named = [&](const CLI::App* c) { return c->get_name() == arguments[place.next]; };
    const auto found = std::find_if(commands.begin(), commands.end(), named);
    if (found == commands.end()) break;
    place.app = *found;
    place.name += " " + place.app->get_name();
  }
  return place;
}

Words flags_of(const CLI::App& app) {
  Words flags;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) flags.push_back("--" + name);
  }
  return flags;
}

// The first argument that looks like a flag but is not one of this command's, without its "=value".
std::string unknown_flag(const Place& place, const Words& arguments) {
  for (size_t i = place.next; i < arguments.size() && arguments[i] != "--"; ++i) {
    const std::string flag = arguments[i].substr(0, arguments[i].find('='));
    if (flag.size() < 2 || flag[0] != '-' ||
        std::isalpha(static_cast<unsigned char>(flag[flag[1] == '-' ? 2 : 1])) == 0)
      continue;
    const CLI::Option* option = place.app->get_option_no_throw(flag);
    if (!option) return flag;
    // The next argument is this one's value, whatever it looks like.
    if (option->get_expected_max() > 0 && flag.size() == arguments[i].size()) ++i;
  }
  return "";
}

// What is wrong with an option or its value, in one line: CLI11's own words where they are clear.
std::string in_plain_words(const CLI::ParseError& error) {
  const std::string text = error.what(), flag = text.substr(0, text.find(':'));
  // "--top: At Most 1 required but received 2", "--top: 1 required INT missing"
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ArgumentMismatch))
    return escaped_text(flag) + (text.find("At Most 1 ") == text.npos ? " expects a value, found none"
                                                                      : " is given more than once");
  return escaped_text(text);
}

// CLI11 names surplus arguments in reverse order.
std::string describe_problem(const CLI::App& app, const CLI::ParseError& error) {
  const bool is_surplus = error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ExtrasError);
  if (!is_surplus) return in_plain_words(error);
  std::string surplus;
  for (std::string argument : app.remaining(true)) {
    if (argument == "--") continue;
    take_mark_off(argument);
    surplus += fmt::format(" \"{}\"", escaped_name(argument));
  }
  return fmt::format("too many arguments:{}; quote text that contains spaces", surplus);
}

}  // namespace

void parse_literally(CLI::App& app, std::vector<std::string> arguments) {
  take_literally(&app);
  for (std::string& argument : arguments) {
    if (argument.ends_with(']') || argument.ends_with('}') || argument.ends_with('=')) argument += kLiteral;
  }
  std::reverse(arguments.begin(), arguments.end());  // the order that CLI11 expects
  app.parse(std::move(arguments));
}

std::string command_name(const CLI::App& app, const std::vector<std::string>& arguments) {
  return place_of(app, arguments).name;
}

std::string describe_failure(const CLI::App& app, const std::vector<std::string>& arguments,
                             const CLI::ParseError& error) {
  const Place place = place_of(app, arguments);
  const auto commands = commands_of(*place.app);
  Words names = flags_of(*place.app);
  if (commands.empty()) {
    const std::string flag = unknown_flag(place, arguments);
    const std::string problem =
        flag.empty() ? describe_problem(app, error)
                     : fmt::format("unknown flag {}{}", escaped_name(flag), suggestion(flag, names));
    return fmt::format("{}: {}\n'{} --help' describes it.\n", place.name, problem, place.name);
  }
  std::string found = "none";
  if (place.next < arguments.size()) {
    for (const CLI::App* command : commands) names.push_back(command->get_name());
    const std::string& word = arguments[place.next];
    found = fmt::format("'{}'{}", escaped_name(word), suggestion(word, names));
  }
  const bool is_root = place.app == &app;
  return fmt::format("{}: expected a {}, found {}\n{}'{} {} --help' describes one.\n", place.name,
                     is_root ? "command" : "subcommand", found, list_of_commands(*place.app), place.name,
                     is_root ? "COMMAND" : "SUBCOMMAND");
}

}  // namespace cuclip
