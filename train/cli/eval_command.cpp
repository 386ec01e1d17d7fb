// cuclip eval: figures of quality.
#include <CLI/CLI.hpp>

#include "train/cli/commands.h"
#include "train/cli/eval_commands.h"

namespace cuclip {

void add_eval_command(CLI::App& app) {
  CLI::App* command =
      app.add_subcommand("eval", "Measure retrieval, search, zero-shot and linear-probe accuracy");
  command->require_subcommand(1);
  command->footer(
      "Examples:\n"
      "  cuclip eval retrieval --data held-out-000.tar --model runs/mine\n"
      "  cuclip eval search --data held-out-000.tar --model runs/mine\n"
      "  cuclip eval zero-shot --data synthetic:shapes --model runs/shapes --json\n"
      "  cuclip eval probe --data pictures/ --model runs/mine");
  add_eval_retrieval(command);
  add_eval_search(command);
  add_eval_zero_shot(command);
  add_eval_probe(command);
}

}  // namespace cuclip
