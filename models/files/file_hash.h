// What tells whether a file is still what was written.
#pragma once

#include <filesystem>
#include <string>

namespace cuclip {

/// XXH3-64 of a file's contents, 16 hexadecimal digits. Throws InputError where it cannot be read.
std::string file_hash(const std::filesystem::path& path);

}  // namespace cuclip
