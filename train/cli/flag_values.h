// What a flag's value may be: its help shows it, and its messages name it.
#pragma once

#include <string>
#include <vector>

#include "train/loop/number_range.h"

namespace CLI {
class Option;
}

namespace cuclip {

/// Refuses an empty value, such as that of a shell's variable that is not set: for files and folders to write.
CLI::Option* never_empty(CLI::Option* option);

/// Lets the option take whole numbers, or numbers, in this range only; on the command line and from a configuration
/// file. What is none is refused by InputError naming the flag, the range and what was given.
CLI::Option* limit(CLI::Option* option, const WholeRange& range);
CLI::Option* limit(CLI::Option* option, const RealRange& range);

/// Lets the option take these words only, likewise.
CLI::Option* one_of(CLI::Option* option, const std::vector<std::string>& words);

}  // namespace cuclip
