// What the executable says of itself in --help: its commands, and what each takes. A test that walks over
// them meets every command and flag that is added later.
#pragma once

#include <string>
#include <vector>

namespace cuclip::test {

struct HelpedArgument {
  std::string name;  // "--top", or a positional's name
  std::string type;  // "INT", "TEXT", ...; empty for one that takes no value (or says nothing of it)
  bool required = false;
  bool is_flag() const { return name.starts_with("-"); }
};

/// Every command that does work, as its words: {"eval", "retrieval"}, {"info"}.
std::vector<std::vector<std::string>> helped_commands();

/// What a command takes, --help left out.
std::vector<HelpedArgument> helped_arguments(std::vector<std::string> command);

}  // namespace cuclip::test
