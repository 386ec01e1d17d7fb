// The table of a run's settings.
#include "train/loop/train_settings.h"

#include <catch2/catch.hpp>
#include <set>

#include "kernels/common/check.h"

using namespace cuclip;

TEST_CASE("what a resumed run must agree on has the names, the order and the words of older checkpoints") {
  TrainConfig config;
  choose_by_encoder(config, /*resnet=*/false);
  config.model = "caf\xe9";  // not UTF-8
  config.lock_image = true;
  config.precision = Precision::tf32;
  const std::vector<std::pair<std::string, std::string>> expected = {{"model", R"(caf\xe9)"},
                                                                     {"pretrained", ""},
                                                                     {"tokenizer", ""},
                                                                     {"batch-size", "256"},
                                                                     {"accum-freq", "1"},
                                                                     {"leaves", "1"},
                                                                     {"epochs", "32"},
                                                                     {"lr", "0.0005"},
                                                                     {"beta1", "0.9"},
                                                                     {"beta2", "0.98"},
                                                                     {"eps", "1e-06"},
                                                                     {"wd", "0.2"},
                                                                     {"warmup", "-1"},
                                                                     {"grad-clip-norm", "0"},
                                                                     {"mask-duplicates", "false"},
                                                                     {"precision", "tf32"},
                                                                     {"lock-image", "true"},
                                                                     {"seed", "0"},
                                                                     {"aug-scale", "0.9 1"},
                                                                     {"hflip", "0"},
                                                                     {"caption-augment", "0"},
                                                                     {"force-patch-dropout", "0"}};
  CHECK(identity(config) == expected);
}

TEST_CASE("AdamW has the settings of the image encoder where none are given") {
  TrainConfig config, resnet, given;
  given.beta2 = 0.9;
  given.eps = 0.5;
  choose_by_encoder(config, false);
  CHECK(config.beta2 == 0.98);
  CHECK(config.eps == 1e-6);
  choose_by_encoder(resnet, true);
  CHECK(resnet.beta2 == 0.999);
  CHECK(resnet.eps == 1e-8);
  choose_by_encoder(given, true);
  CHECK(given.beta2 == 0.9);
  CHECK(given.eps == 0.5);
}

TEST_CASE("a setting stands in the table once, and sets the member that it shows") {
  std::set<std::string> flags;
  int choices = 0;
  for (const Setting& setting : train_settings()) {
    INFO(setting.flag);
    CHECK(flags.insert(setting.flag).second);
    CHECK(std::string(setting.flag).starts_with("--"));
    const auto* choice = std::get_if<ChoiceSetting>(&setting.value);
    if (choice == nullptr) continue;
    ++choices;
    for (const std::string_view word : choice->words) {
      TrainConfig config;
      choice->set(config, setting.flag, word);
      CHECK(choice->get(config) == word);
    }
  }
  CHECK(choices == 3);
}

TEST_CASE("a word that an enumeration does not have is refused with those that it has") {
  CHECK(parse_word<Precision>("--precision", "bf16") == Precision::bf16);
  CHECK_THROWS_AS(parse_word<Precision>("--precision", ""), InputError);
  CHECK_THROWS_WITH(parse_word<Precision>("--precision", "fp8"),
                    "--precision must be one of fp32, tf32, bf16, got \"fp8\"");
}
