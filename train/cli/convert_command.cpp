// cuclip convert: the same weights under other names.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <limits>
#include <memory>

#include "core/file_io.h"
#include "models/clip/weight_shards.h"
#include "models/files/names.h"
#include "models/inference/checkpoint_folders.h"
#include "train/cli/commands.h"
#include "train/cli/converted_folder.h"
#include "train/cli/flag_values.h"
#include "train/cli/interruption.h"
#include "train/cli/model_flags.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"

namespace cuclip {
namespace {
enum class Implementation { cuclip, open_clip, openai, hugging_face };
}  // namespace
template <>
inline constexpr std::array<std::string_view, 4> kWords<Implementation>{"cuclip", "open_clip", "openai",
                                                                        "hf"};

namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  Implementation to = Implementation::cuclip;
  std::string out;
  std::string shard_size;
  bool json = false;
};

// The bytes that a text such as "2GB" says, in transformers' units: 2,000,000,000.
int64_t parse_shard_size(std::string_view text) {
  constexpr std::pair<std::string_view, int64_t> kUnits[] = {
      {"KB", 1'000}, {"MB", 1'000'000}, {"GB", 1'000'000'000}, {"", 1}};
  const auto& [ending, unit] = *std::find_if(std::begin(kUnits), std::end(kUnits),
                                             [&](const auto& u) { return text.ends_with(u.first); });
  const std::string_view digits = text.substr(0, text.size() - ending.size());
  int64_t number = 0, bytes = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  CUCLIP_CHECK(error == std::errc() && end == digits.data() + digits.size() && number > 0 &&
                   !__builtin_mul_overflow(number, unit, &bytes),
               "--shard-size must be a whole number of bytes, KB, MB or GB, such as 2GB, got {}", text);
  return bytes;
}

// The most bytes that a file of weights may have.
int64_t check_shard_size(const Options& options, bool is_file) {
  if (options.shard_size.empty()) return std::numeric_limits<int64_t>::max();
  CUCLIP_CHECK(options.to == Implementation::hugging_face,
               "--shard-size goes with --to hf: open_clip reads weights in one file only, and the others are "
               "written so");
  CUCLIP_CHECK(!is_file, "--shard-size: --out {} is one file; give a folder", options.out);
  return parse_shard_size(options.shard_size);
}

// Training tidies its folder: what lies where checkpoints do would be taken for one, and removed.
void check_not_of_run(const fs::path& out, bool is_file) {
  const auto is_run = [](const fs::path& folder) {
    return is_folder(folder / kCheckpointFolder) && path_exists(folder / "latest");
  };
  std::error_code error;
  const fs::path path = fs::weakly_canonical(fs::absolute(out), error);
  if (error) return;  // nothing can be there: making the folder says why
  const fs::path folder = is_file ? path.parent_path() : path;
  const bool among_checkpoints = is_checkpoint_folder(folder) || is_run(folder.parent_path().parent_path()) ||
                                 (folder.filename() == kCheckpointFolder && is_run(folder.parent_path()));
  CUCLIP_CHECK(
      !among_checkpoints && (is_file || !is_run(folder)),
      "--out {}: convert writes neither over a training run nor among its checkpoints; choose another folder",
      out.string());
}

void report(const Options& options, const ConvertedFolder& written) {
  if (!written.no_tokenizer.empty())
    warn(options.out + " has no tokeniser, and texts cannot be used there: " + written.no_tokenizer);
  if (written.oversized > 0) {
    warn(fmt::format("tensors larger than --shard-size {}, each in a file of its own: {}", options.shard_size,
                     written.oversized));
  }
}

void convert(const Options& options) {
  const bool is_file = fs::path(options.out).extension() == ".safetensors";
  const int64_t max_bytes = check_shard_size(options, is_file);
  Session session(options.model);
  const bool hugging_face = options.to == Implementation::hugging_face;
  const WeightNames names = hugging_face ? WeightNames::hugging_face : WeightNames::open_clip;
  CUCLIP_CHECK(!hugging_face || !session.model().config().vision.is_resnet(),
               "--to hf: transformers has no modified ResNets; choose open_clip");
  ConvertedFolder written{.weights = is_file ? fs::path(options.out) : fs::path(options.out) / kWeightsFile};
  const std::vector<std::string> inputs = inputs_with(options.model, {session.loaded.weights});
  const auto check = is_file ? check_can_write : check_can_replace;
  const bool there = is_file || is_folder(options.out);
  if (there) check(written.weights, OutputKind::safetensors, inputs);
  check_not_of_run(options.out, is_file);
  if (!there) {
    make_folder(options.out);
    check(written.weights, OutputKind::safetensors, inputs);
  }
  if (is_file) {
    save_weights(session.model(), written.weights, {}, names);
  } else {
    written = write_converted_folder(options.out, session.loaded, names, max_bytes, inputs);
    report(options, written);
    if (const int signal = remembered_signal()) throw Interrupted{signal};
  }
  const int64_t count = session.model().parameters().count();
  if (!options.json) {
    fmt::print("{} parameters under {} names{}: {}\n", count, word(options.to),
               written.files > 1 ? fmt::format(" in {} files", written.files) : "",
               escaped_name(written.weights.string()));
    return;
  }
  nlohmann::ordered_json json;
  put_name(json, "out", written.weights.string());
  json["names"] = word(options.to);
  json["parameters"] = count;
  json["files"] = written.files;
  print_json(json);
}

}  // namespace

void add_convert_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("convert", "Weights under the names of another implementation");
  add_choice(command, "--to", options->to,
             "Names: cuclip, open_clip, openai (these three are the same), or hf")
      ->required()
      ->default_str("");
  never_empty(command->add_option("--out", options->out,
                                  "FILE.safetensors for the weights alone, or a folder for the whole model"))
      ->required();
  command->add_option(
      "--shard-size", options->shard_size,
      "For hf: several files, each with tensors of at most this size, such as 2GB or 500MB, and their index");
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model);
  command->footer(
      "A folder is a whole model, its tokeniser included. One made with --to hf is transformers': its "
      "CLIPModel and CLIPProcessor load it with from_pretrained(FOLDER). One made with --to open_clip is "
      "open_clip's: create_model_and_transforms and get_tokenizer take 'local-dir:FOLDER'. Neither loads the "
      "other's. transformers has no modified ResNets: they go to open_clip only.\n"
      "Reads any of these names, in f32, bf16 or f16, and writes f32. Pickled files (.pt, .bin) are not "
      "read.\n"
      "Examples:\n"
      "  cuclip convert --model runs/mine --to hf --out mine-hf --shard-size 2GB\n"
      "  cuclip convert --model hf/model.safetensors --config-name ViT-B-32-quickgelu --to cuclip --out "
      "vit-b-32");
  command->callback([options] { convert(*options); });
}

}  // namespace cuclip
