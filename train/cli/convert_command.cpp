// cuclip convert: the same weights under other names.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <memory>

#include "core/file_io.h"
#include "models/hf_config.h"
#include "models/weights.h"
#include "train/cli/commands.h"
#include "train/cli/model_flags.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::string to, out;
  bool json = false;
};

void convert(const Options& options) {
  Session session(options.model);
  const WeightNames names = options.to == "hf" ? WeightNames::hugging_face : WeightNames::open_clip;
  const bool is_file = fs::path(options.out).extension() == ".safetensors";
  const fs::path file = is_file ? fs::path(options.out) : fs::path(options.out) / "model.safetensors";
  const fs::path folder = file.parent_path();
  make_folder(folder);
  check_can_write(file, {session.loaded.weights});
  save_weights(session.model(), file, {}, names);
  if (!is_file) {
    if (options.to == "hf") {
      write_file_atomic(folder / "config.json", hf_config_json(session.model().config()));
    }
    write_file_atomic(folder / "open_clip_config.json", clip_config_json(session.model().config()));
    if (session.loaded.found_tokenizer) session.loaded.found_tokenizer->save(folder / "tokenizer.txt.gz");
  }
  const int64_t count = session.model().parameters().count();
  if (!options.json) {
    fmt::print("{} parameters with the names of {}: {}\n", count, options.to, escaped_name(file.string()));
    return;
  }
  nlohmann::ordered_json json;
  put_name(json, "out", file.string());
  json["names"] = options.to;
  json["parameters"] = count;
  print_json(json);
}

}  // namespace

void add_convert_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("convert", "Weights under the names of another implementation");
  command
      ->add_option("--to", options->to, "Names: cuclip, open_clip, openai (these three are the same), or hf")
      ->check(CLI::IsMember({"cuclip", "open_clip", "openai", "hf"}))
      ->required();
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
