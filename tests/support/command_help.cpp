#include "tests/support/command_help.h"

#include <sstream>
#include <stdexcept>

#include "tests/support/command.h"

namespace cuclip::test {
namespace {

using Words = std::vector<std::string>;

struct Line {
  std::string section;  // "Options"
  std::string text;
};

// The entries of the lists in a command's help; indented further are their descriptions.
std::vector<Line> entries(Words command) {
  command.push_back("--help");
  const CommandResult help = run_cuclip(command);
  if (help.exit_code != 0) throw std::runtime_error("no help: " + help.err);
  std::vector<Line> lines;
  std::string section;
  std::istringstream text(help.out);
  for (std::string line; std::getline(text, line);) {
    if (line.empty()) continue;
    const size_t indent = std::min(line.find_first_not_of(' '), line.size());
    if (indent == 0) section = line.back() == ':' ? line.substr(0, line.size() - 1) : "";
    if (indent == 2 && !section.starts_with("Example")) lines.push_back({section, line.substr(2)});
  }
  return lines;
}

void collect(const Words& command, std::vector<Words>& all) {
  bool has_subcommands = false;
  for (const Line& line : entries(command)) {
    if (line.section != "Subcommands") continue;
    has_subcommands = true;
    Words longer = command;
    longer.push_back(line.text.substr(0, line.text.find(' ')));
    collect(longer, all);
  }
  if (!has_subcommands) all.push_back(command);
}

}  // namespace

std::vector<Words> helped_commands() {
  std::vector<Words> all;
  collect({}, all);
  return all;
}

std::vector<HelpedArgument> helped_arguments(Words command) {
  std::vector<HelpedArgument> arguments;
  for (const Line& line : entries(std::move(command))) {
    if (line.section.empty() || line.section == "Subcommands" || line.text.starts_with("-h,")) continue;
    std::istringstream words(line.text);
    HelpedArgument argument;
    std::string type;
    words >> argument.name >> type;
    type = type.substr(0, type.find_first_of(":="));  // "INT:0..64=0"
    for (const char* known : {"TEXT", "INT", "UINT", "FLOAT"}) {
      if (type == known) argument.type = type;
    }
    argument.required = line.text.find(" REQUIRED") != std::string::npos;
    arguments.push_back(argument);
  }
  return arguments;
}

}  // namespace cuclip::test
