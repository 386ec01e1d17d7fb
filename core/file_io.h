// Reading whole files, and writing them so that a reader or a crash never sees half of one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace cuclip {

/// Whether there is something at `path`, and whether it is a folder. False where the system cannot tell: what a
/// user typed may be no path at all (longer than a name can be), or lie in a folder that may not be entered.
bool path_exists(const std::filesystem::path& path);
bool is_folder(const std::filesystem::path& path);

/// The whole file. Throws InputError naming the file and the system's reason.
std::string read_file(const std::filesystem::path& path);

/// Writes path through a temporary file in the same folder: write, fsync, rename, fsync the folder. The old
/// file stays as it was when anything fails. Throws Error naming the file and the system's reason.
void write_file_atomic(const std::filesystem::path& path, std::string_view contents);

/// The same for contents that come in pieces: `write` is called with a sink that takes bytes.
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_file_atomic(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& write);

}  // namespace cuclip
