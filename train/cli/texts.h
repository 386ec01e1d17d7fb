// The texts that a command is given: queries, captions, labels.
#pragma once

#include <string>
#include <vector>

namespace cuclip {

/// The texts given as arguments and those of the file (one per line; "-": standard input; "": no file), in
/// this order, each checked with require_text. Throws InputError if there is none. `command` begins the
/// messages.
std::vector<std::string> given_texts(const std::vector<std::string>& arguments, const std::string& file,
                                     const std::string& command);

/// --labels: "a,b,c", or a file with one label per line, or "-".
std::vector<std::string> given_labels(const std::string& text);

}  // namespace cuclip
