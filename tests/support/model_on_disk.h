// A run folder and pictures for tests of the command line.
#pragma once

#include <nlohmann/json.hpp>

#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {

/// run/ has one checkpoint, step-3, of a tiny model with random weights; pictures/ has 0.png … 6.png with
/// random pixels, and below/7.png.
struct ModelOnDisk {
  explicit ModelOnDisk(const ClipConfig& config = tiny_config());

  /// Runs `cuclip ARGUMENTS --model run`.
  CommandResult cuclip(std::vector<std::string> arguments) const;
  /// The same with --json; requires exit code 0.
  nlohmann::json cuclip_json(std::vector<std::string> arguments) const;
  std::string picture(int i) const { return folder / ("pictures/" + std::to_string(i) + ".png"); }

  TemporaryFolder folder;
  std::string run = folder / "run";
  std::string pictures = folder / "pictures";
};

}  // namespace cuclip::test
