// cuclip convert: the same weights under other names.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/file_io.h"
#include "models/clip/hf_config.h"
#include "models/clip/hf_preprocessor.h"
#include "models/clip/weights.h"
#include "models/files/names.h"
#include "models/inference/checkpoint_folders.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
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
  bool json = false;
};

// A folder that convert filled before has everything that it writes, open_clip_config.json included, and is
// filled again. Other people's files of the same names are left alone.
void check_folder(const fs::path& folder, const std::vector<std::string>& inputs) {
  const bool ours = path_exists(folder / "open_clip_config.json");
  for (const char* name : {"model.safetensors", "open_clip_config.json", "config.json",
                           "preprocessor_config.json", "tokenizer.txt.gz"}) {
    const std::string file = folder / name;
    CUCLIP_CHECK(
        ours || !path_exists(file),
        "{} exists and was not written by convert; it would be overwritten. Choose another folder for "
        "--out",
        file);
    check_can_write(file, kind_of_name(file, OutputKind::json), inputs);
  }
}

void convert(const Options& options) {
  Session session(options.model);
  const bool hugging_face = options.to == Implementation::hugging_face;
  const WeightNames names = hugging_face ? WeightNames::hugging_face : WeightNames::open_clip;
  CUCLIP_CHECK(!hugging_face || !session.model().config().vision.is_resnet(),
               "--to hf: transformers has no modified ResNets; choose open_clip");
  const bool is_file = fs::path(options.out).extension() == ".safetensors";
  const fs::path file = is_file ? fs::path(options.out) : fs::path(options.out) / "model.safetensors";
  const fs::path folder = file.parent_path();
  const std::vector<std::string> inputs = inputs_with(options.model, {session.loaded.weights});
  if (!is_file) make_folder(folder);
  check_can_write(file, OutputKind::safetensors, inputs);
  CUCLIP_CHECK(
      !is_checkpoint_folder(folder),
      "--out {}: this is a checkpoint folder, and convert never writes into one; choose another folder",
      options.out);
  if (!is_file) {
    check_folder(folder, inputs);
    // Written first: it marks a folder that is only half filled.
    write_file_atomic(folder / "open_clip_config.json", clip_config_json(session.model().config()));
  }
  save_weights(session.model(), file, {}, names);
  if (!is_file) {
    if (hugging_face) {
      write_file_atomic(folder / "config.json", hf_config_json(session.model().config()));
      write_file_atomic(folder / "preprocessor_config.json", hf_preprocessor_json(session.model().config()));
    }
    if (session.loaded.found_tokenizer) session.loaded.found_tokenizer->save(folder / "tokenizer.txt.gz");
  }
  const int64_t count = session.model().parameters().count();
  if (!options.json) {
    fmt::print("{} parameters under {} names: {}\n", count, word(options.to), escaped_name(file.string()));
    return;
  }
  nlohmann::ordered_json json;
  put_name(json, "out", file.string());
  json["names"] = word(options.to);
  json["parameters"] = count;
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
  never_empty(
      command->add_option("--out", options->out,
                          "FILE.safetensors, or a folder for weights, configuration and merges together"))
      ->required();
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model);
  command->footer(
      "Reads any of these names, in f32, bf16 or f16, and writes f32. Pickled files (.pt, .bin) are not "
      "read.\n"
      "Examples:\n"
      "  cuclip convert --model runs/mine --to hf --out mine-hf.safetensors\n"
      "  cuclip convert --model hf/model.safetensors --config-name ViT-B-32-quickgelu --to cuclip --out "
      "vit-b-32");
  command->callback([options] { convert(*options); });
}

}  // namespace cuclip
