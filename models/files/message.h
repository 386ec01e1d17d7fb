// Messages on their way to a terminal or to a program in C.
#pragma once

#include <string>
#include <string_view>

namespace cuclip {

/// escaped_text, and of more than 4,096 bytes without the middle: messages quote what somebody wrote, which
/// may be a line of megabytes, and people are to read them.
std::string escaped_message(std::string_view text);

}  // namespace cuclip
