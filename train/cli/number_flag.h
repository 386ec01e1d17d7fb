// Numeric flags: every one has a range, which its help shows and its messages name.
#pragma once

#include "train/number_range.h"

namespace CLI {
class Option;
}

namespace cuclip {

/// Lets the option take whole numbers, or numbers, in this range only; on the command line and from a configuration
/// file. What is none is refused by InputError naming the flag, the range and what was given.
CLI::Option* limit(CLI::Option* option, const WholeRange& range);
CLI::Option* limit(CLI::Option* option, const RealRange& range);

}  // namespace cuclip
