// Opens a data set as training does, and counts its samples.
#include <cstdio>

#include "train/data/dataset.h"

int main() {
  const auto pairs = cuclip::open_dataset("synthetic:shapes?size=32&count=5");
  std::printf("pairs: %d\n", static_cast<int>(pairs->size()));
  return pairs->size() == 5 ? 0 : 1;
}
