// The files and folders that commands write.
#pragma once

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace cuclip {

/// What a command writes: a file that is there is replaced only by one of its own kind.
enum class OutputKind { npy, safetensors, png, svg, html, gzip, json, merges, index };

/// By the end of the name: .npy, .safetensors, .png, .svg, .gz; `otherwise` for others.
OutputKind kind_of_name(const std::string& file, OutputKind otherwise);

/// The one place that refuses an output, before an hour of work and not after it. Throws InputError where the
/// file is a folder, one of the files that are read, a file of another kind (an empty file is of every kind),
/// part of a checkpoint, part of a model or what would be read instead of one, and where its folder is not
/// there, whatever the command; Error where no file can be written. A folder that is the output itself is
/// made (make_folder).
void check_can_write(const std::string& file, OutputKind kind, const std::vector<std::string>& inputs);

/// The same for a file of a model that is replaced whole: the one before it may be a part of a model.
void check_can_replace(const std::string& file, OutputKind kind, const std::vector<std::string>& inputs);

/// check_can_write for files in a folder that is made, with those on the way, when the work is done.
void check_can_fill(const std::filesystem::path& folder,
                    const std::vector<std::pair<std::string, OutputKind>>& files,
                    const std::vector<std::string>& inputs);

}  // namespace cuclip
