#include "models/api/c_support.h"

#include <fmt/core.h>

#include "models/files/message.h"

namespace cuclip {
namespace {

// Of this thread. What there is no memory to say is said by a constant.
struct LastError {
  std::string text;
  const char* shown = "";
};
thread_local LastError last_error;

}  // namespace

cuclip_status failed(cuclip_status status, const char* reason) noexcept {
  try {
    last_error.text = escaped_message(reason);  // messages quote paths and arguments, which need not be UTF-8
    last_error.shown = last_error.text.c_str();
  } catch (...) {
    last_error.shown = "out of memory";
  }
  return status;
}

void copy_text(const std::string& text, char* to, size_t size, size_t* length, const char* name) {
  const std::span<char> out = array(to, size, name);
  if (length) *length = text.size();
  if (out.empty()) return;
  CUCLIP_CHECK(text.size() < out.size(), "{}: expected room for {} bytes, got {}", name, text.size() + 1,
               size);
  std::memcpy(out.data(), text.c_str(), text.size() + 1);
}

void check_size(const void* options, size_t size, size_t known, const char* name) {
  constexpr size_t kMost = 4096, kMember = 8;
  CUCLIP_CHECK(
      size >= sizeof(size) && size <= kMost && size % kMember == 0,
      "{0}: expected a size of sizeof(cuclip_{0}), {1} in this version, got {2}; begin with the INIT "
      "of the struct",
      name, known, size);
  const auto* bytes = static_cast<const unsigned char*>(options);
  const bool unknown =
      size > known && std::any_of(bytes + known, bytes + size, [](unsigned char byte) { return byte != 0; });
  CUCLIP_CHECK(!unknown, "{}: something is set that version {} does not know", name, version());
}

bool flag(int32_t value, const char* name) {
  CUCLIP_CHECK(value == 0 || value == 1, "{} must be 0 or 1, got {}", name, value);
  return value == 1;
}

RgbView view_of(const cuclip_rgb& picture) {
  return {.data = picture.data, .width = picture.width, .height = picture.height, .stride = picture.stride};
}

}  // namespace cuclip

const char* cuclip_version(void) { return cuclip::version(); }

const char* cuclip_last_error(void) { return cuclip::last_error.shown; }
