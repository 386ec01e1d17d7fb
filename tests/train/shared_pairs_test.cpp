#include "train/data/shared_pairs.h"

#include <catch2/catch.hpp>

#include "tests/support/command.h"

namespace cuclip::test {
namespace {

TEST_CASE("a pair is shared if key, picture and captions are the same") {
  const TemporaryFolder folder;
  const auto write = [&](const std::string& name, const std::string& picture, const std::string& caption) {
    folder.write(name + ".png", picture);
    folder.write(name + ".txt", caption);
  };
  write("train/same", "12345", "a cat");
  write("train/picture", "12345", "a cat");
  write("train/caption", "12345", "a cat");
  write("train/longer", "123456", "a cat");
  write("train/below/name", "12345", "a cat");
  write("held-out/same", "12345", "a cat");
  write("held-out/picture", "12346", "a cat");
  write("held-out/caption", "12345", "a dog");
  write("held-out/longer", "12345", "a cat");
  write("held-out/name", "12345", "a cat");
  const auto train = open_dataset(folder / "train"), held_out = open_dataset(folder / "held-out");
  CHECK(shared_pairs(*train, *held_out) == 1);
  CHECK(shared_pairs(*held_out, *held_out) == 5);
  CHECK(shared_pairs(*open_dataset((folder / "train").string() + "::" + (folder / "held-out").string()),
                     *held_out) == 5);
}

TEST_CASE("the parts of synthetic:shapes share nothing, though their keys are the same") {
  const auto train = open_dataset("synthetic:shapes?size=24&count=300"),
             val = open_dataset("synthetic:shapes?size=24&count=300&split=val"),
             fewer = open_dataset("synthetic:shapes?size=24&count=20");
  CHECK(shared_pairs(*train, *val) == 0);
  CHECK(shared_pairs(*train, *fewer) == 20);
}

}  // namespace
}  // namespace cuclip::test
