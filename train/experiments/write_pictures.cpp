// Writes the pictures of a data set that is rendered, as files for experiments: FOLDER/KEY.ppm, and
// FOLDER/captions.jsonl with {"file", "captions"} for each.
//
//   write_pictures 'synthetic:shapes?size=48&count=1000' FOLDER
#include <fmt/core.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "train/data/dataset.h"

namespace cuclip {
namespace {

void write_pictures(const std::string& spec, const std::string& folder) {
  const auto dataset = open_dataset(spec);
  std::filesystem::create_directories(folder);
  std::ofstream captions(folder + "/captions.jsonl");
  for (int64_t i = 0; i < dataset->size(); ++i) {
    const Sample sample = dataset->load(i);
    const Image* picture = std::get_if<Image>(&sample.picture);
    CUCLIP_CHECK(picture != nullptr, "{}: expected rendered pictures, found files", spec);
    const std::string file = sample.key + ".ppm";
    std::ofstream ppm(folder + "/" + file, std::ios::binary);
    ppm << fmt::format("P6\n{} {}\n255\n", picture->width, picture->height);
    ppm.write(reinterpret_cast<const char*>(picture->rgb.data()), std::ssize(picture->rgb));
    if (!ppm) fail("cannot write {}/{}", folder, file);
    captions << nlohmann::ordered_json{{"file", file}, {"captions", sample.captions}}.dump() << '\n';
  }
  if (!captions.flush()) fail("cannot write {}/captions.jsonl", folder);
}

}  // namespace
}  // namespace cuclip

int main(int argc, char** argv) {
  if (argc != 3) {
    fmt::print(stderr, "usage: write_pictures DATA FOLDER\n");
    return 2;
  }
  try {
    cuclip::write_pictures(argv[1], argv[2]);
  } catch (const std::exception& error) {
    fmt::print(stderr, "write_pictures: {}\n", error.what());
    return 1;
  }
}
