// What the command line says when it cannot be understood, and the one thing in which CLI11 would
// misunderstand it.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Error;
class ParseError;
}  // namespace CLI

namespace cuclip {

/// Parses and runs the callbacks like CLI::App::parse, arguments in their order without the program's name.
/// CLI11 takes "[a, b]" for a list: with this, a text or a file's name in brackets stays what it is. To be
/// called once.
void parse_literally(CLI::App& app, std::vector<std::string> arguments);

/// The command that the arguments name, as far as they do: "cuclip eval retrieval".
std::string command_name(const CLI::App& app, const std::vector<std::string>& arguments);

/// What is wrong with an option or its value, in one line: CLI11's own words where they are clear.
std::string in_plain_words(const CLI::Error& error);

/// Why parsing failed, as lines for standard error: an unknown command or flag with the nearest known one,
/// the list of commands where one is missing, or what is wrong with an option; and where help is.
std::string describe_failure(const CLI::App& app, const std::vector<std::string>& arguments,
                             const CLI::ParseError& error);

}  // namespace cuclip
