// What the command line says when it cannot be understood, and what CLI11 would misunderstand.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class ParseError;
}  // namespace CLI

namespace cuclip {

/// Parses and runs the callbacks like CLI::App::parse, arguments in their order without the program's name.
/// CLI11 takes "[a, b]" for a list, the next argument for the value of "--out=", and "--json=2" for --json:
/// with this, a text in brackets stays what it is, and a flag without a value is given none, or true or
/// false. An empty value, such as that of an unset shell variable, is refused with InputError everywhere but
/// in a positional that may be left out. To be called once.
void parse_literally(CLI::App& app, std::vector<std::string> arguments);

/// The command that the arguments name, as far as they do: "cuclip eval retrieval".
std::string command_name(const CLI::App& app, const std::vector<std::string>& arguments);

/// Why parsing failed, as lines for standard error: an unknown command or flag with the nearest known one,
/// the list of commands where one is missing, or what is wrong with an option; and where help is.
std::string describe_failure(const CLI::App& app, const std::vector<std::string>& arguments,
                             const CLI::ParseError& error);

}  // namespace cuclip
