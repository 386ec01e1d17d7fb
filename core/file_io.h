// Reading whole files, and writing them so that a reader or a crash never sees half of one.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace cuclip {

/// The whole file. Throws InputError naming the file and the system's reason.
std::string read_file(const std::filesystem::path& path);

/// Writes path through a temporary file in the same folder: write, fsync, rename, fsync the folder. The old
/// file stays as it was when anything fails. Throws Error naming the file and the system's reason.
void write_file_atomic(const std::filesystem::path& path, std::string_view contents);

/// The same for contents that come in pieces: `write` is called with a sink that takes bytes.
using ByteSink = std::function<void(std::span<const std::byte>)>;
void write_file_atomic(const std::filesystem::path& path, const std::function<void(const ByteSink&)>& write);

/// Ends the process at once, from any thread, and leaves no temporary file of write_file_atomic behind: what
/// was being written is not there, what was written is whole. Nothing else is tidied up.
[[noreturn]] void abandon_writes_and_exit(int exit_code);

}  // namespace cuclip
