// What commands print: JSON on standard output; warnings, lists and progress on standard error.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "models/inference/encode.h"

namespace cuclip {

/// What --json says, of every command that names files.
inline constexpr const char* kJsonHelp =
    "Print JSON. Bytes of a name that are not valid UTF-8 become U+FFFD; a second field, KEY_bytes, "
    "holds the name percent-encoded";

/// Prints JSON and a line feed (json_text). Names go in by put_name, which keeps those that are not valid
/// UTF-8.
void print_json(const nlohmann::ordered_json& json, int indent = 2);

/// A line on standard error, "cuclip: ...", whatever names are in it.
void warn(const std::string& message);

/// What a data source has to say (Dataset::notes()), on standard error.
void print_notes(const std::vector<std::string>& notes);

/// Lists the first few unreadable pictures on standard error, and how many there are.
void report_unreadable(const std::vector<UnreadablePicture>& unreadable);

/// Reports on standard error how many pictures were used although their data is damaged, and names the first.
void report_damaged(const std::vector<std::string>& damaged);

/// [{"index", "path" of files, "reason"}, ...]
nlohmann::ordered_json unreadable_json(const std::vector<UnreadablePicture>& unreadable);

/// Shows how far encoding is, how fast and how long it will take, on standard error, where that is a
/// terminal. The clock starts now.
EncodeProgress progress_to_terminal(const std::string& what, int64_t total);

}  // namespace cuclip
