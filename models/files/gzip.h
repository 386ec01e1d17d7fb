// gzip in memory.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cuclip {

bool is_gzip(std::string_view bytes);

/// The unpacked contents of all members. Throws InputError, naming `name`, when the data is damaged, cut off
/// or unpacks to more than max_size bytes.
std::string gunzip(std::string_view bytes, std::string_view name, int64_t max_size);

/// A single member without name or time: the same bytes for the same contents.
std::string gzip(std::string_view contents);

}  // namespace cuclip
