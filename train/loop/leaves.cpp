#include "train/loop/leaves.h"

#include <string>

#include "core/counted.h"
#include "kernels/common/check.h"
#include "train/loop/checkpoint.h"
#include "train/loop/number_range.h"

namespace cuclip {
namespace {

int64_t whole_setting(const std::filesystem::path& checkpoint, const char* name) {
  return parse_number(fmt::format("{}: the setting '{}'", (checkpoint / "state.json").string(), name),
                      WholeRange{1, kMostOfAnything}, read_setting(checkpoint, name, "1"));
}

// A checkpoint's leaves are taken over; with them a step may have its pairs from any number of ranks.
void take(TrainConfig& config, const std::filesystem::path& checkpoint) {
  const int64_t then = whole_setting(checkpoint, "leaves");
  if (config.leaves == 0) config.leaves = then;
  CUCLIP_CHECK(config.leaves == then, "{} was made with --leaves {}, not {}: leave the option out to resume",
               checkpoint.string(), then, config.leaves);
  CUCLIP_CHECK(
      then % config.ranks == 0,
      "{} has steps of {}, which {} cannot share equally: resume with a number of ranks that divides "
      "it, or start a new run with --pretrained",
      checkpoint.string(), counted(then, "leaf", "leaves"), counted(config.ranks, "rank"));
  if (then == 1) return;
  const int64_t pairs = whole_setting(checkpoint, "batch-size"), batches = config.accum_freq * config.ranks;
  CUCLIP_CHECK(pairs % batches == 0,
               "{} has steps of {}, which --accum-freq {} x {} cannot share equally: choose others",
               checkpoint.string(), counted(pairs, "pair"), config.accum_freq, counted(config.ranks, "rank"));
  CUCLIP_CHECK(
      pairs == config.pairs_per_step(),
      "{} has steps of {}, --batch-size {} x --accum-freq {} x {} are {}: with this many ranks it is "
      "resumed with --batch-size {}",
      checkpoint.string(), counted(pairs, "pair"), config.batch_size, config.accum_freq,
      counted(config.ranks, "rank"), config.pairs_per_step(), pairs / batches);
}

void choose(TrainConfig& config) {
  if (config.leaves > 0) return;
  config.leaves = 1;
  if (config.ranks == 1) return;
  const int64_t batches = config.accum_freq * config.ranks;
  int64_t leaves = 8;
  while (leaves < batches) leaves *= 2;
  const bool fits = leaves % config.ranks == 0 && config.pairs_per_step() % leaves == 0;
  config.leaves = fits ? leaves : batches;
}

void check(const TrainConfig& config) {
  CUCLIP_CHECK(
      config.leaves % config.ranks == 0,
      "--leaves {}: {} ranks cannot have as many leaves each; choose a multiple of {}, or other ranks",
      config.leaves, config.ranks, config.ranks);
  const int64_t pairs = config.pairs_per_step();
  CUCLIP_CHECK(
      pairs % config.leaves == 0,
      "--leaves {}: a step's pairs, --batch-size {} x --accum-freq {} x {} ranks = {}, cannot be cut "
      "into as many equal leaves",
      config.leaves, config.batch_size, config.accum_freq, config.ranks, pairs);
}

}  // namespace

void choose_leaves(TrainConfig& config, const std::filesystem::path& checkpoint) {
  if (!checkpoint.empty()) take(config, checkpoint);
  choose(config);
  check(config);
}

}  // namespace cuclip
