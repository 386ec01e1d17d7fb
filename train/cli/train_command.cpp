// cuclip train
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdlib>
#include <memory>

#include "core/ranks.h"
#include "core/together.h"
#include "kernels/common/parallel.h"
#include "models/files/names.h"
#include "train/cli/commands.h"
#include "train/cli/config_file.h"
#include "train/cli/flag_values.h"
#include "train/cli/interruption.h"
#include "train/cli/model_flags.h"
#include "train/cli/printing.h"
#include "train/loop/run_log.h"
#include "train/loop/trainer.h"

namespace cuclip {
namespace {

// Adds one setting's flag.
struct AddFlag {
  CLI::App* app;
  TrainConfig& config;
  const Setting& setting;

  void operator()(const TextSetting& kind) const { option(kind.value); }
  void operator()(const SwitchSetting& kind) const {
    app->add_flag(setting.flag, config.*kind.value, setting.help);
  }
  void operator()(const WholeSetting& kind) const { limit(option(kind.value), kind.range); }
  void operator()(const RealSetting& kind) const { limit(option(kind.value), kind.range); }
  void operator()(const ChoiceSetting& kind) const {
    const auto set = [&to = config, flag = setting.flag, kind](const std::string& text) {
      kind.set(to, flag, text);
    };
    add_choice(app, setting.flag, kind.words, kind.get(config), set, setting.help);
  }

  template <typename T>
  CLI::Option* option(T TrainConfig::*value) const {
    return app->add_option(setting.flag, config.*value, setting.help)->capture_default_str();
  }
};

constexpr const char* kNothingToSave = "interrupted before the first step: there was nothing to save";

std::string how_it_was_interrupted(const TrainOutcome& outcome) {
  if (outcome.steps == 0) return kNothingToSave;
  if (outcome.saved_step == outcome.steps)
    return fmt::format("interrupted: step {} is saved; continue with --resume latest", outcome.steps);
  return fmt::format("interrupted: step {} was skipped and is not saved; the last checkpoint is {}",
                     outcome.steps,
                     outcome.saved_step < 0 ? "none" : fmt::format("step {}", outcome.saved_step));
}

// What processes on one machine choose unless they are told otherwise. They share its processors, if the
// launcher has not given each its own. Several train on the CPU only so far.
TrainConfig for_one_of_several(TrainConfig config, const Launch& launch) {
  if (launch.size == 1) return config;
  if (config.device == DeviceChoice::automatic) config.device = DeviceChoice::cpu;
  const bool bound = available_cpus() * launch.local_size <= ::sysconf(_SC_NPROCESSORS_ONLN);
  if (config.threads == 0)
    config.threads = bound ? available_cpus() : std::max(1, available_cpus() / launch.local_size);
  return config;
}

// What is wrong with the settings or the data is found by all ranks together, and one of them says it.
std::unique_ptr<Trainer> open_trainer(const TrainConfig& config, const std::string& resolved, Ranks& ranks) {
  try {
    return std::make_unique<Trainer>(
        for_one_of_several(config, ranks.launch()), resolved,
        std::shared_ptr<Communicator>(&ranks.communicator(), [](Communicator*) {}));
  } catch (const std::exception&) {
    ranks.leave();
    throw;
  }
}

TrainOutcome train(Trainer& trainer, Ranks& ranks) {
  const auto at = [&](int64_t step, const char* what) { ranks.at(step, what); };
  try {
    return trainer.run(remembered_signal, at);
  } catch (const OtherRankFailed&) {
    throw;
  } catch (const InputError& error) {
    ranks.fail_run(error.what(), 2);
    throw;
  } catch (const std::exception& error) {
    ranks.fail_run(error.what(), 1);
    throw;
  }
}

void run_training(const TrainConfig& config, const std::string& resolved) {
  announced_device(config.device);
  say_when_interrupted(kNothingToSave);
  const std::unique_ptr<Ranks> ranks =
      join_ranks(find_launch([](const char* name) { return std::getenv(name); }));
  const std::unique_ptr<Trainer> trainer = open_trainer(config, resolved, *ranks);
  finish_first("interrupted: finishing the step, then saving");
  const TrainOutcome outcome = train(*trainer, *ranks);
  ranks->leave();
  if (outcome.signal != 0) {
    if (ranks->rank() == 0) warn(how_it_was_interrupted(outcome));
    throw Interrupted{outcome.signal};
  }
  if (outcome.skipped_at_end > 1) {  // one may be a bad batch
    if (ranks->rank() > 0) throw OtherRankFailed(0, false);
    fail(
        "the last {} steps had a loss or gradient that is not finite, and changed no weights; step-{} has "
        "those from before them. {}",
        outcome.skipped_at_end, outcome.steps, kUnstableAdvice);
  }
  if (ranks->rank() == 0) fmt::print("{}\n", escaped_name(config.out));
}

}  // namespace

void add_train_command(CLI::App& parent) {
  auto config = std::make_shared<TrainConfig>();
  CLI::App* app = parent.add_subcommand("train", "Train a model on image-text pairs");
  for (const Setting& setting : train_settings()) {
    std::visit(AddFlag{.app = app, .config = *config, .setting = setting}, setting.value);
  }
  auto file = std::make_shared<std::string>();
  app->add_option("--config", *file, "TOML file with the same keys; flags given here win");
  app->footer(
      "Example:\n"
      "  cuclip train --model cuclip-tiny --train-data synthetic:shapes --epochs 2 --out runs/shapes\n"
      "  cuclip train --train-data 'pairs/train-{000..003}.tar' --val-data pairs/held-out-000.tar \\\n"
      "      --precision bf16 --epochs 20 --lr 1e-3 --out runs/first\n"
      "  mpirun -n 4 cuclip train --batch-size 64 ...   (4 processes, 256 pairs in a step)\n"
      "SIGINT (Ctrl-C), SIGTERM and SIGHUP finish the step, skip any pending evaluation, save,\n"
      "and exit with 130, 143 or 129; further signals have no effect. Before the first step there\n"
      "is nothing to save, and cuclip exits immediately. SIGQUIT (Ctrl-\\) and SIGKILL quit\n"
      "immediately; the last checkpoint is left intact.");
  app->callback([app, config, file] {
    const auto given = [app](const Setting& setting) { return app->count(setting.flag) > 0; };
    if (!file->empty()) apply_config_file(*file, given, *config);
    run_training(*config, config_toml(*config));
  });
}

}  // namespace cuclip
