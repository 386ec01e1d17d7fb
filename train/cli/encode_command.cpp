// cuclip encode: features of pictures and texts, into files that NumPy and safetensors read.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <iostream>
#include <memory>

#include "core/file_io.h"
#include "models/files/names.h"
#include "models/files/npy.h"
#include "models/files/picture_files.h"
#include "models/files/safetensors.h"
#include "models/inference/encode.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/model_flags.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/cli/texts.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::vector<std::string> inputs;
  std::string texts_file, out;
  bool hidden_states = false;
  TextLayer layer = TextLayer::last;
  bool no_final_norm = false;
  TextPadding padding = TextPadding::zero;
  bool json = false;
};

void check_out(const Options& options, const std::vector<std::string>& inputs) {
  const std::string& out = options.out;
  const std::string extension = fs::path(out).extension();
  CUCLIP_CHECK(extension == ".npy" || extension == ".safetensors",
               "--out {}: expected a name that ends in .npy or .safetensors", out);
  check_can_write(out, kind_of_name(out, OutputKind::npy), inputs_with(options.model, inputs));
}

void write_features(const std::string& out, const Tensor& features) {
  if (fs::path(out).extension() == ".npy") return write_npy(out, features);
  const std::vector<std::pair<std::string, TensorView>> tensors = {{"features", features.view()}};
  write_safetensors(out, tensors);
}

std::vector<int64_t> extents(const Tensor& tensor) {
  std::vector<int64_t> result;
  for (int i = 0; i < tensor.shape().rank(); ++i) result.push_back(tensor.size(i));
  return result;
}

// What each row of the features stands for: the line with the same number says it.
void print_rows(const Options& options, const Tensor& features, const std::vector<std::string>& rows,
                const nlohmann::ordered_json& unreadable = nullptr, int64_t damaged = 0) {
  if (!options.json) {
    for (const std::string& row : rows) fmt::print("{}\n", escaped_name(row));
    return;
  }
  nlohmann::ordered_json json;
  put_name(json, "out", options.out);
  json["shape"] = extents(features);
  put_names(json, "rows", rows);
  if (!unreadable.is_null()) {  // of pictures
    json["unreadable"] = unreadable;
    json["damaged_pictures_used"] = damaged;
  }
  print_json(json);
}

void encode_images(const Options& options) {
  std::vector<fs::path> files;
  for (const std::string& input : options.inputs) {
    if (is_folder(input)) {
      std::vector<std::string> notes;
      const std::vector<fs::path> found = find_pictures(input, notes);
      print_notes(notes);
      files.insert(files.end(), found.begin(), found.end());
    } else {
      files.emplace_back(input);
    }
  }
  check_out(options, {files.begin(), files.end()});
  Session session(options.model);
  const EncodedPictures encoded =
      encode_picture_files(session.model(), files, progress_to_terminal("encoded", std::ssize(files)));
  report_unreadable(encoded.unreadable);
  report_damaged(encoded.damaged);
  write_features(options.out, encoded.features.to(session.context.host()));
  std::vector<std::string> names;
  for (const int64_t i : encoded.kept) names.push_back(files[static_cast<size_t>(i)].string());
  print_rows(options, encoded.features, names, unreadable_json(encoded.unreadable),
             std::ssize(encoded.damaged));
}

void encode_text(const Options& options) {
  check_out(options, {options.texts_file});
  const std::vector<std::string> texts = given_texts(options.inputs, options.texts_file, "encode text");
  Session session(options.model);
  const Tokenizer& tokenizer = session.loaded.tokenizer();
  const HiddenStateOptions states{.layer = options.layer, .final_norm = !options.no_final_norm};
  const Tensor features =
      options.hidden_states ? encode_hidden_states(session.model(), tokenizer, texts, states, options.padding)
                            : encode_texts(session.model(), tokenizer, texts);
  write_features(options.out, features.to(session.context.host()));
  print_rows(options, features, texts, {});
}

void add_common(CLI::App* command, const std::shared_ptr<Options>& options) {
  never_empty(
      command->add_option("--out", options->out, "FILE.npy or FILE.safetensors (tensor \"features\")"))
      ->required();
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model);
}

}  // namespace

void add_encode_command(CLI::App& app) {
  CLI::App* command = app.add_subcommand("encode", "Features of pictures or texts as .npy or .safetensors");
  command->require_subcommand(1);
  command->footer(
      "Features have unit length; row names are printed in order. Unreadable pictures are skipped and\n"
      "listed.\nExamples:\n"
      "  cuclip encode image photos/ --out photos.npy --model runs/mine\n"
      "  cuclip encode text \"a red bicycle\" --hidden-states --out states.safetensors --model runs/mine");
  auto images = std::make_shared<Options>(), texts = std::make_shared<Options>();

  CLI::App* image = command->add_subcommand("image", "Picture files and folders -> [N, E]");
  image->add_option("picture", images->inputs, "Picture files or folders")->required();
  add_common(image, images);
  image->footer("Example:\n  cuclip encode image a.jpg b.png --out features.npy --model runs/mine");
  image->callback([images] { encode_images(*images); });

  CLI::App* text = command->add_subcommand("text", "Texts -> [N, E]");
  text->add_option("text", texts->inputs, "Texts");
  text->add_option("--texts-file", texts->texts_file, "File with one text per line; - for standard input");
  CLI::Option* states = text->add_flag("--hidden-states", texts->hidden_states,
                                       "All positions instead, [N, context length, width]");
  add_choice(text, "--layer", texts->layer, "Which layer's hidden states")->needs(states);
  text->add_flag("--no-final-norm", texts->no_final_norm,
                 "Hidden states as they are, without the final layer norm")
      ->needs(states);
  add_choice(
      text, "--padding", texts->padding,
      "What fills hidden states after a text: zero, token 0, as in open_clip; end, the end of text, as "
      "in OpenAI's CLIPTokenizer")
      ->needs(states);
  add_common(text, texts);
  text->footer(
      "Text-to-image models are conditioned on hidden states: Stable Diffusion 1 on --padding end, 2 on\n"
      "--layer penultimate, SDXL on --layer penultimate --no-final-norm (its first encoder with --padding "
      "end).\n"
      "Examples:\n"
      "  cuclip encode text \"a cat\" \"a dog\" --out features.npy --model runs/mine\n"
      "  cuclip encode text \"a cat\" --hidden-states --layer penultimate --out states.npy --model "
      "runs/mine");
  text->callback([texts] { encode_text(*texts); });
}

}  // namespace cuclip
