// Where a run keeps its checkpoints, RUN/checkpoints/step-N/ and RUN/latest, and which of them can be used.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cuclip {

constexpr const char* kCheckpointFolder = "checkpoints";

/// "step-120".
std::string checkpoint_name(int64_t step);

/// N of a folder called "step-N" followed by `ending`; -1 for any other name.
int64_t checkpoint_step(const std::filesystem::path& folder, std::string_view ending = "");

/// The step-N folders of a run, newest first.
std::vector<std::filesystem::path> checkpoint_folders(const std::filesystem::path& run);

/// state.json of a checkpoint: "step", which is the folder's, "settings", which are text, and whatever else
/// was saved with the run. Throws InputError for a damaged file.
nlohmann::json read_checkpoint_state(const std::filesystem::path& checkpoint);

/// Where state.json has the hashes (file_hash) of the checkpoint's files, by name.
constexpr const char* kFileHashes = "xxh3";

/// Throws InputError if the checkpoint's file is not what was saved there. Of checkpoints that an earlier
/// version saved nothing is known.
void check_saved_file(const std::filesystem::path& checkpoint, const char* name);

/// Whether it is the folder of a training run's checkpoint.
bool is_checkpoint_folder(const std::filesystem::path& folder);

/// The newest checkpoint of a run that is whole: `latest`, or the newest one before it that can be read and
/// has the weights that were saved; `also_read` reads what the caller needs besides the model, and throws
/// where that is damaged. What was passed over is added to `notes`. None if the run has no checkpoint at all;
/// throws InputError if it has only damaged ones.
std::optional<std::filesystem::path> latest_checkpoint(
    const std::filesystem::path& run, std::vector<std::string>& notes,
    const std::function<void(const std::filesystem::path& checkpoint)>& also_read = {});

}  // namespace cuclip
