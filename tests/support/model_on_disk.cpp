#include "tests/support/model_on_disk.h"

#include <stdexcept>

#include "train/loop/checkpoint.h"

namespace cuclip::test {

ModelOnDisk::ModelOnDisk(const ClipConfig& config) {
  Context context(1);
  ClipModel model(context, config, {.training = true});
  randomise(model);
  const Optimizer optimizer(context, model.parameters(), {});
  save_checkpoint(run, model, optimizer, tiny_tokenizer(), {.step = 3}, {{"model", "tiny"}});
  // BMP bytes under another name: the format is told from the bytes.
  for (int i = 0; i < 7; ++i)
    folder.write("pictures/" + std::to_string(i) + ".png", bmp_bytes(random_image(20 + i, 17)));
  folder.write("pictures/below/7.png", bmp_bytes(random_image(9, 31)));
}

CommandResult ModelOnDisk::cuclip(std::vector<std::string> arguments) const {
  arguments.insert(arguments.end(), {"--model", run});
  return run_cuclip(arguments);
}

nlohmann::json ModelOnDisk::cuclip_json(std::vector<std::string> arguments) const {
  arguments.push_back("--json");
  const CommandResult result = cuclip(arguments);
  if (result.exit_code != 0) throw std::runtime_error("cuclip " + arguments[0] + ": " + result.err);
  return nlohmann::json::parse(result.out);
}

}  // namespace cuclip::test
