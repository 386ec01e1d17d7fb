// cuclip matrix: how well each of N pictures fits each of M captions.
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <optional>
#include <span>

#include "kernels/similarity/similarity.h"
#include "models/files/names.h"
#include "models/image/image_decode.h"
#include "models/inference/encode.h"
#include "train/cli/commands.h"
#include "train/cli/flag_values.h"
#include "train/cli/model_flags.h"
#include "train/cli/output_files.h"
#include "train/cli/printing.h"
#include "train/cli/session.h"
#include "train/cli/texts.h"
#include "train/draw/heat_map.h"

namespace cuclip {
namespace {

namespace fs = std::filesystem;

struct Options {
  ModelFlags model;
  std::vector<std::string> images, texts;
  std::string texts_file, out;
  bool json = false;
};

struct Matrix {
  std::vector<std::string> images, texts;
  std::vector<float> similarity;  // [images, texts]
  float logit_scale = 0;
  std::optional<float> loss;  // of as many pictures as captions, each with its own
};

draw::Scene heat_map_of(const Matrix& matrix, std::span<const Image> pictures, const std::string& model) {
  const std::string subtitle = "cosine similarity, " + model;
  return draw::heat_map({.title = "Pictures and captions",
                         .subtitle = subtitle,
                         .values = matrix.similarity,
                         .rows = static_cast<int>(matrix.images.size()),
                         .columns = static_cast<int>(matrix.texts.size()),
                         .row_images = pictures,
                         .row_labels = {},
                         .column_labels = matrix.texts});
}

// Before an hour of work, and not after it: the size does not depend on what the pictures and values are.
void check_can_draw(Matrix matrix, const std::string& model, const std::string& out) {
  if (kind_of_name(out, OutputKind::svg) != OutputKind::png) return;
  matrix.similarity.resize(matrix.images.size() * matrix.texts.size());
  const std::vector<Image> pictures(matrix.images.size());
  draw::check_paintable(heat_map_of(matrix, pictures, model), draw::kFileScale);
}

void draw_matrix(const Matrix& matrix, const std::string& model, const std::string& out) {
  std::vector<Image> pictures;
  for (const std::string& file : matrix.images)
    pictures.push_back(load_image(file, {.exif_orientation = true}));
  draw::write_scene(out, heat_map_of(matrix, pictures, model));
}

void print_matrix(const Matrix& matrix) {
  for (size_t t = 0; t < matrix.texts.size(); ++t)
    fmt::print("[{}] {}\n", t + 1, escaped_name(matrix.texts[t]));
  for (size_t t = 0; t < matrix.texts.size(); ++t) fmt::print("{:>8}", fmt::format("[{}]", t + 1));
  fmt::print("\n");
  for (size_t i = 0; i < matrix.images.size(); ++i) {
    for (size_t t = 0; t < matrix.texts.size(); ++t) {
      fmt::print("{:+8.4f}", matrix.similarity[i * matrix.texts.size() + t]);
    }
    fmt::print("  {}\n", escaped_name(matrix.images[i]));
  }
  if (matrix.loss) {
    fmt::print("loss of these {} pairs, with similarities times {:.4f}: {:.4f} (chance: {:.4f})\n",
               matrix.images.size(), matrix.logit_scale, *matrix.loss,
               std::log(static_cast<double>(matrix.images.size())));
  }
}

nlohmann::ordered_json to_json(const Matrix& matrix) {
  auto rows = nlohmann::ordered_json::array();
  for (size_t i = 0; i < matrix.images.size(); ++i) {
    const auto first = matrix.similarity.begin() + static_cast<int64_t>(i * matrix.texts.size());
    rows.push_back(std::vector<float>(first, first + std::ssize(matrix.texts)));
  }
  nlohmann::ordered_json json;
  put_names(json, "images", matrix.images);
  json["texts"] = matrix.texts;
  json["similarity"] = rows;
  json["logit_scale"] = matrix.logit_scale;
  if (matrix.loss) json["loss"] = *matrix.loss;
  return json;
}

void run_matrix(const Options& options) {
  const std::string extension = fs::path(options.out).extension();
  CUCLIP_CHECK(options.out.empty() || extension == ".svg" || extension == ".png",
               "--out {}: expected a name that ends in .svg or .png", options.out);
  if (!options.out.empty()) {
    std::vector<std::string> inputs = options.images;
    inputs.push_back(options.texts_file);
    check_can_write(options.out, kind_of_name(options.out, OutputKind::svg),
                    inputs_with(options.model, inputs));
  }
  Matrix matrix{.images = options.images,
                .texts = given_texts(options.texts, options.texts_file, "matrix"),
                .similarity = {},
                .loss = {}};
  Session session(options.model);
  check_can_draw(matrix, session.loaded.description, options.out);
  const std::vector<fs::path> files(options.images.begin(), options.images.end());
  const EncodedPictures encoded = encode_picture_files(session.model(), files);
  // If it were left out, the pictures after it would stand beside the wrong captions.
  CUCLIP_CHECK(encoded.unreadable.empty(), "{}", encoded.unreadable.front().reason);
  report_damaged(encoded.damaged);
  const Tensor texts = encode_texts(session.model(), session.loaded.tokenizer(), matrix.texts);
  const Tensor scores = Tensor::empty(session.context, {encoded.features.size(0), texts.size(0)}, DType::f32);
  cosine_similarity({.a = encoded.features, .b = texts, .out = scores}, session.context.exec());
  matrix.similarity = scores.to_floats();
  matrix.logit_scale = session.model().logit_scale();
  if (matrix.images.size() == matrix.texts.size() && matrix.images.size() > 1) {
    Tape tape(session.context, Tape::Mode::inference);
    matrix.loss = session.model().loss(tape, encoded.features, texts).to_floats().front();
  }
  if (!options.out.empty()) draw_matrix(matrix, session.loaded.description, options.out);
  if (!options.json) return print_matrix(matrix);
  nlohmann::ordered_json json = to_json(matrix);
  if (!options.out.empty()) put_name(json, "out", options.out);
  print_json(json);
}

}  // namespace

void add_matrix_command(CLI::App& app) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("matrix", "Similarities of pictures and captions: table and heat map");
  command->add_option("--images", options->images, "Picture files")->required();
  command->add_option("--texts", options->texts, "Captions");
  command->add_option("--texts-file", options->texts_file,
                      "File with one caption per line; - for standard input");
  never_empty(command->add_option("--out", options->out, "Heat map to draw, .svg or .png"));
  command->add_flag("--json", options->json, kJsonHelp);
  add_model_flags(command, options->model);
  command->footer(
      "Where picture n belongs to caption n, the diagonal should light up; for as many pictures as captions, "
      "the\n"
      "contrastive loss that training would compute for them is printed, ln N where all are equally "
      "alike.\nExample:\n"
      "  cuclip matrix --images cat.jpg dog.jpg --texts \"a cat\" \"a dog\" --out matrix.svg --model "
      "runs/mine");
  command->callback([options] { run_matrix(*options); });
}

}  // namespace cuclip
