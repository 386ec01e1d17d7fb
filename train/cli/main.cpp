#include <CLI/CLI.hpp>

int main(int argc, char** argv) {
  CLI::App app{"cuclip: trains and runs CLIP models", "cuclip"};
  CLI11_PARSE(app, argc, argv);
  return 0;
}
