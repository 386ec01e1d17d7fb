#include "models/files/message.h"

#include <fmt/core.h>

#include "models/files/names.h"

namespace cuclip {
namespace {

bool is_inside_character(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

}  // namespace

std::string escaped_message(std::string_view text) {
  constexpr size_t kMost = 4096, kEnd = 1024;
  const std::string message = escaped_text(text);
  if (message.size() <= kMost) return message;
  size_t first = kMost - kEnd, last = message.size() - kEnd;
  while (is_inside_character(message[first])) --first;
  while (is_inside_character(message[last])) ++last;
  return fmt::format("{} ... ({} bytes left out) ... {}", message.substr(0, first), last - first,
                     message.substr(last));
}

}  // namespace cuclip
