// What values a flag takes: its help shows them, and its messages name them.
#pragma once

#include <string>
#include <vector>

#include "train/loop/number_range.h"

namespace CLI {
class Option;
}

namespace cuclip {

/// Makes the option take only whole numbers, or numbers, in this range, on the command line and from a
/// configuration file. Anything else is refused with an InputError naming the flag, the range and what was
/// given.
CLI::Option* limit(CLI::Option* option, const WholeRange& range);
CLI::Option* limit(CLI::Option* option, const RealRange& range);

/// Makes the option take only these words, likewise.
CLI::Option* one_of(CLI::Option* option, const std::vector<std::string>& words);

}  // namespace cuclip
