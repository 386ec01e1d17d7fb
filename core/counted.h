// Numbers of things in messages.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cuclip {

/// "1 picture", "2 pictures", "3 boxes"; `many` is needed only if the plural is not `one` plus an s.
std::string counted(int64_t count, std::string_view one, std::string_view many = "");

}  // namespace cuclip
