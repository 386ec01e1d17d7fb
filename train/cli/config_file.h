// --config FILE: a subcommand's flags from a TOML file. Flags on the command line win.
#pragma once

namespace CLI {
class App;
}

namespace cuclip {

/// Adds --config to a subcommand.
void add_config_file_option(CLI::App* app);

/// To be called first in the subcommand's callback: fills every option that the command line did not give.
/// Keys are the flags' names without the leading dashes (`batch-size = 256`), at the top level or under
/// [subcommand]. Throws InputError for a key that is not a flag, or a value that the flag refuses.
void apply_config_file(CLI::App* app);

}  // namespace cuclip
