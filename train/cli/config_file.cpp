#include "train/cli/config_file.h"

#include <CLI/CLI.hpp>
#include <sstream>

#include "kernels/common/check.h"
#include "models/files/text_file.h"
#include "train/cli/usage.h"

namespace cuclip {
namespace {

// CLI11 takes a key alone on its line to be true, whatever its type.
std::string checked_lines(std::string text, const std::string& path) {
  const std::vector<std::string_view> lines = split_lines(text);
  for (size_t i = 0; i < lines.size(); ++i) {
    const std::string_view line = lines[i].substr(0, lines[i].find('#'));
    const size_t first = line.find_first_not_of(" \t");
    const bool good = first == line.npos || line[first] == '[' || line.find('=') != line.npos;
    CUCLIP_CHECK(good, "{}, line {}: expected KEY = VALUE, found \"{}\"", path, i + 1, line);
  }
  return text;
}

}  // namespace

void add_config_file_option(CLI::App* app) {
  // Not configurable: it is not part of the resolved configuration.
  app->add_option("--config", "TOML file with the same keys; flags given here win")->configurable(false);
}

void apply_config_file(CLI::App* app) {
  const CLI::Option* file = app->get_option("--config");
  if (file->count() == 0) return;
  const std::string path = file->as<std::string>();
  std::istringstream text(checked_lines(read_text_file(path), path));
  std::vector<CLI::ConfigItem> items;
  try {
    items = CLI::ConfigTOML().from_config(text);
  } catch (const CLI::Error& e) {
    fail_input("{}: {}", path, e.what());
  }
  for (const CLI::ConfigItem& item : items) {
    if (item.name == "++" || item.name == "--") continue;  // CLI11's section markers
    CLI::Option* option = app->get_option_no_throw("--" + item.name);
    const bool here =
        item.parents.empty() || (item.parents.size() == 1 && item.parents[0] == app->get_name());
    CUCLIP_CHECK(option && here && option->get_configurable(), "{}: '{}' is not a setting of cuclip {}", path,
                 item.fullname(), app->get_name());
    if (option->count() > 0) continue;
    try {
      if (option->get_expected_max() == 0) {  // a flag
        option->add_result(CLI::ConfigTOML().to_flag(item));
      } else {
        option->add_result(item.inputs);
      }
      option->run_callback();
    } catch (const CLI::Error& e) {
      fail_input("{}: {}", path, in_plain_words(e));
    } catch (const InputError& e) {  // a number out of range
      fail_input("{}: {}", path, e.what());
    }
  }
}

}  // namespace cuclip
