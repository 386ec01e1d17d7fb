// Which label describes a picture best: classify MODEL PICTURE LABEL...
// c++ -std=c++20 classify.cpp -o classify $(pkg-config --cflags --libs cuclip)
#include <cuclip/cuclip.h>

#include <cstdio>

int main(int argc, char** argv) {
  if (argc < 4) return std::fprintf(stderr, "usage: classify MODEL PICTURE LABEL...\n"), 2;
  try {
    const cuclip::Clip clip = cuclip::Clip::load(argv[1]);
    const std::vector<std::string> labels(argv + 3, argv + argc);
    for (const cuclip::LabelProbability& label : clip.classify(argv[2], labels))
      std::printf("%6.2f %%  %s\n", 100 * label.probability, label.label.c_str());
    return 0;
  } catch (const cuclip::InputError& error) {
    return std::fprintf(stderr, "classify: %s\n", error.what()), 2;
  } catch (const std::exception& error) {
    return std::fprintf(stderr, "classify: %s\n", error.what()), 1;
  }
}
