// Loads a model from a file, indexes two pictures, and searches the index by a picture and by a text.
// inference FOLDER: writes what it needs into that folder, and what goes wrong to standard error.
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "models/clip/weights.h"
#include "models/inference/encode.h"
#include "models/inference/feature_index.h"
#include "models/inference/model_source.h"

namespace {

// A square of one colour as a 24-bit BMP; its rows fill whole words.
void write_picture(const std::filesystem::path& file, unsigned char red, unsigned char green,
                   unsigned char blue) {
  constexpr unsigned char kSide = 64;
  constexpr unsigned kPixels = 3 * kSide * kSide;
  std::string bytes(54, '\0');
  const auto number = [&](size_t place, unsigned value) {
    for (size_t i = 0; i < 4; ++i) bytes[place + i] = static_cast<char>(value >> (8 * i) & 255);
  };
  bytes.replace(0, 2, "BM");
  number(2, 54 + kPixels);
  number(10, 54);  // where the pixels begin
  number(14, 40);  // of the header that follows
  number(18, kSide);
  number(22, kSide);
  number(26, 1 + (24 << 16));  // planes, bits of a pixel
  number(34, kPixels);
  for (int i = 0; i < kSide * kSide; ++i)
    bytes += {static_cast<char>(blue), static_cast<char>(green), static_cast<char>(red)};
  std::ofstream(file, std::ios::binary) << bytes;
}

void expect(bool condition, const char* what) {
  if (!condition) throw std::runtime_error(std::string("expected ") + what);
}

void run(const std::filesystem::path& folder) {
  cuclip::Context context(1);
  {
    cuclip::ClipModel model(context, cuclip::load_clip_config("cuclip-tiny"));
    model.initialise(1);
    cuclip::save_weights(model, folder / "weights.safetensors");
  }
  const cuclip::LoadedModel loaded =
      cuclip::load_model(context, folder / "weights.safetensors", {.config_name = "cuclip-tiny"});
  expect(loaded.trained, "weights from a file");

  const std::vector<std::filesystem::path> files = {folder / "red.bmp", folder / "blue.bmp"};
  write_picture(files[0], 220, 30, 20);
  write_picture(files[1], 20, 40, 210);
  cuclip::EncodedPictures pictures = cuclip::encode_picture_files(*loaded.model, files);
  expect(pictures.kept.size() == 2, "two pictures that can be read");

  cuclip::save_index({.source = folder,
                      .names = {"red.bmp", "blue.bmp"},
                      .rows = {0, 1},
                      .model = loaded.weights,
                      .model_fingerprint = loaded.model->fingerprint(),
                      .features = pictures.features},
                     folder / "pictures.index");
  const cuclip::FeatureIndex index = cuclip::load_index(context, folder / "pictures.index");

  const cuclip::EncodedPictures blue =
      cuclip::encode_picture_files(*loaded.model, std::span(files).subspan(1));
  const std::vector<cuclip::Hit> alike = cuclip::search_index(context, index, blue.features, 1);
  expect(alike.size() == 1 && index.names[alike[0].row] == "blue.bmp",
         "the blue picture to be the nearest to itself");
  expect(std::abs(alike[0].similarity - 1) < 1e-5, "a picture to have similarity 1 to itself");

  const cuclip::Tokenizer bytes{std::vector<cuclip::Merge>{}};
  const std::vector<std::string> texts = {"a blue square"};
  const std::vector<cuclip::Hit> hits =
      cuclip::search_index(context, index, cuclip::encode_texts(*loaded.model, bytes, texts), 2);
  expect(hits.size() == 2 && hits[0].similarity >= hits[1].similarity,
         "both pictures, the nearest to the text first");
  std::printf("nearest to the text: %s\n", index.path(hits[0].row).c_str());
}

}  // namespace

int main(int argc, char** argv) {
  try {
    if (argc != 2) throw std::runtime_error("usage: inference FOLDER");
    run(argv[1]);
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "inference: %s\n", error.what());
    return 1;
  }
}
