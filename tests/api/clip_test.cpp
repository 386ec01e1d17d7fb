// cuclip/cuclip.h: what a Clip computes is what the library below computes, and what it refuses.
#include <cuclip/cuclip.h>
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <cmath>
#include <mutex>

#include "models/image/image_decode.h"
#include "models/inference/encode.h"
#include "models/inference/model_source.h"
#include "models/inference/zero_shot.h"
#include "tests/support/model_on_disk.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
using Catch::StartsWith;
using Paths = std::vector<std::filesystem::path>;
using Strings = std::vector<std::string>;

LoadOptions on_cpu() { return {.threads = 2, .device = "cpu"}; }

struct Fixture : ModelOnDisk {
  Paths files() const { return {picture(0), picture(3), picture(6)}; }

  Clip clip = Clip::load(run, on_cpu());
  Context context{2};
  LoadedModel below = load_model(context, run);
};

std::vector<float> values(const Features& features) {
  return {features.values().begin(), features.values().end()};
}

// As rows of a larger picture, with other bytes between them.
struct Padded {
  explicit Padded(const Image& image) : stride(3 * static_cast<size_t>(image.width) + 5) {
    for (int y = 0; y < image.height; ++y) {
      const uint8_t* row = ImageView(image).row(y);
      bytes.insert(bytes.end(), row, row + 3 * image.width);
      bytes.insert(bytes.end(), 5, static_cast<uint8_t>(200 + y % 50));
    }
    view = {.data = bytes.data(),
            .width = static_cast<size_t>(image.width),
            .height = static_cast<size_t>(image.height),
            .stride = stride};
  }
  size_t stride;
  std::vector<uint8_t> bytes;
  RgbView view;
};

TEST_CASE_METHOD(Fixture, "features are those of the library below, row for row") {
  const Paths pictures = files();
  const Features features = clip.encode_images(pictures);
  REQUIRE(features.size() == 3);
  CHECK(features.dimensions() == 10);
  CHECK(clip.dimensions() == 10);
  CHECK(values(features) == encode_picture_files(*below.model, pictures).features.to_floats());
  CHECK(std::vector<float>(features.row(2).begin(), features.row(2).end()) ==
        std::vector<float>(features.values().begin() + 20, features.values().end()));
  CHECK_THROWS_AS(features.row(3), InputError);

  const Strings texts = {"a", "b c", "eeee"};
  CHECK(values(clip.encode_texts(texts)) ==
        cuclip::encode_texts(*below.model, below.tokenizer(), texts).to_floats());
  CHECK(clip.logit_scale() == below.model->logit_scale());
  CHECK_THAT(clip.description(), Contains("step-3"));
}

TEST_CASE_METHOD(Fixture, "pixels in memory, whatever their stride, have the features of the file") {
  std::vector<Image> images;
  for (const auto& file : files()) images.push_back(load_image(file));
  const std::vector<Padded> padded(images.begin(), images.end());
  std::vector<RgbView> views;
  for (const Padded& picture : padded) {
    views.push_back(picture.view);
    views.back().data = picture.bytes.data();
  }
  CHECK(values(clip.encode_images(views)) == values(clip.encode_images(files())));
}

TEST_CASE_METHOD(Fixture, "a picture that cannot be read is an error that names it, and so are wrong views") {
  Paths pictures = files();
  pictures.insert(pictures.begin() + 1, folder.write("bad.png", "no picture"));
  CHECK_THROWS_WITH(clip.encode_images(pictures), Contains("picture 1 of 4") && Contains("bad.png"));
  // One by itself is not counted.
  CHECK_THROWS_WITH(clip.encode_images({folder / "missing.png"}),
                    "cannot read " + (folder / "missing.png").string() + ": No such file or directory");
  CHECK_THROWS_WITH(clip.encode_images({folder / "bad.png"}), StartsWith(folder / "bad.png"));
  const std::vector<uint8_t> bytes(100);
  const auto refused = [&](const RgbView& view, const char* why) {
    CHECK_THROWS_WITH(clip.encode_images({view}), Contains(why));
    CHECK_THROWS_WITH(clip.classify(view, {"a"}), Contains(why));
  };
  refused({.data = nullptr, .width = 2, .height = 2, .stride = 6}, "data is null");
  refused({.data = bytes.data(), .width = 0, .height = 2, .stride = 6}, "0 x 2");
  refused({.data = bytes.data(), .width = 2, .height = 0, .stride = 6}, "2 x 0");
  refused({.data = bytes.data(), .width = 2, .height = 2, .stride = 5}, "got 5");
  refused({.data = bytes.data(), .width = SIZE_MAX, .height = 2, .stride = SIZE_MAX}, "pixels, got");
  refused({.data = bytes.data(), .width = 2, .height = 2, .stride = SIZE_MAX}, "beyond all memory");
  refused({.data = bytes.data(), .width = 2, .height = 2, .stride = size_t{0} - 6}, "from bottom to top");
  refused({.data = bytes.data(), .width = 100'000, .height = 100'000, .stride = 300'000}, "pixels, got");
}

TEST_CASE_METHOD(Fixture, "a picture that is missing is found before any is read") {
  const std::string bad = folder.write("bad.png", "no picture"), missing = folder / "missing.png";
  CHECK_THROWS_WITH(clip.encode_images({bad, missing}), Contains("picture 1 of 2") && Contains(missing));
  CHECK_THROWS_WITH(clip.represent_images({bad, missing}, "pooled"), Contains(missing));
}

TEST_CASE_METHOD(Fixture, "a named pipe is refused, not waited for") {
  const std::string pipe = folder / "pipe";
  REQUIRE(::mkfifo(pipe.c_str(), 0600) == 0);
  CHECK_THROWS_WITH(clip.encode_images({pipe}), Contains(pipe) && Contains("not a regular file"));
  const ReadableImages some = clip.encode_readable_images({pipe, picture(0)});
  REQUIRE(some.unreadable.size() == 1);
  CHECK_THAT(some.unreadable[0].reason, Contains("not a regular file"));
}

TEST_CASE_METHOD(
    Fixture, "of files that may be unreadable, those that can be read have the rows that they have alone") {
  Strings lines;
  LoadOptions options = on_cpu();
  options.log = [&](std::string_view line) { lines.emplace_back(line); };
  const Clip logging = Clip::load(run, options);
  const std::string bad = folder.write("bad.png", "no picture"), missing = folder / "missing.png";
  const ReadableImages some = logging.encode_readable_images({bad, picture(0), missing, picture(3)});
  CHECK(some.places == std::vector<size_t>{1, 3});
  CHECK(values(some.features) == values(clip.encode_images({picture(0), picture(3)})));
  REQUIRE(some.unreadable.size() == 2);
  CHECK(some.unreadable[0].place == 0);
  CHECK_THAT(some.unreadable[0].reason, Contains(bad));
  CHECK(some.unreadable[1].place == 2);
  CHECK_THAT(some.unreadable[1].reason, Contains(missing));
  REQUIRE(lines.size() == 2);
  CHECK_THAT(lines[0], StartsWith("passed over: ") && Contains(bad));
  const ReadableImages none = logging.encode_readable_images({bad, bad});
  CHECK(none.features.size() == 0);
  CHECK(none.features.dimensions() == 10);
  CHECK(none.unreadable.size() == 2);
  CHECK(logging.encode_readable_images(Paths{}).places.empty());
}

TEST_CASE_METHOD(Fixture, "arguments may be values in braces, vectors, arrays and spans") {
  const Strings words = {"a", "b"};
  const std::string array[] = {"a", "b"};
  const std::vector<float> expected = values(clip.encode_texts(words));
  CHECK(values(clip.encode_texts({"a", "b"})) == expected);
  CHECK(values(clip.encode_texts(array)) == expected);
  CHECK(values(clip.encode_texts(std::span(words))) == expected);
  CHECK(values(clip.encode_texts(Strings{"a", "b"})) == expected);
  CHECK(values(clip.encode_images({picture(0), picture(3)})) ==
        values(clip.encode_images(Paths{picture(0), picture(3)})));
  CHECK(clip.classify(picture(0), {"a", "b"}, {"{}"}).size() == 2);
}

TEST_CASE_METHOD(Fixture, "nothing has no features, and a text that says nothing is refused") {
  CHECK(clip.encode_images(Paths{}).size() == 0);
  CHECK(clip.encode_images(std::vector<RgbView>{}).dimensions() == 10);
  CHECK(clip.encode_texts(Strings{}).size() == 0);
  CHECK(Features().size() == 0);
  CHECK_THROWS_WITH(clip.encode_texts(Strings{"a", " \n"}), Contains("text 1") && Contains("blanks"));
  CHECK_THROWS_WITH(clip.encode_texts(Strings{""}), Contains("text 0"));
  CHECK_THROWS_WITH(clip.encode_texts(Strings{"caf\xe9"}), Contains("UTF-8"));
}

TEST_CASE_METHOD(Fixture, "similarities are the cosines of all pairs") {
  const Features a = clip.encode_images(files()), b = clip.encode_texts(Strings{"a", "b"});
  const std::vector<float> all = clip.similarity(a, b);
  REQUIRE(all.size() == 6);
  for (size_t i = 0; i < 3; ++i) {
    for (size_t j = 0; j < 2; ++j) {
      double sum = 0;
      for (size_t k = 0; k < 10; ++k) sum += double{a.row(i)[k]} * double{b.row(j)[k]};
      CHECK(all[i * 2 + j] == Approx(sum).margin(1e-6));
    }
  }
  CHECK(clip.similarity(a, Features({}, 10)).empty());
  CHECK_THROWS_WITH(clip.similarity(a, Features({1, 0}, 2)), Contains("10 and 2"));
}

TEST_CASE("features that were kept come back, and others are refused") {
  CHECK(Features({0.6f, 0.8f, 0, -1}, 2).row(1)[1] == -1);
  CHECK_THROWS_WITH(Features({0.6f, 0.8f, 0}, 2), Contains("3 values are not rows of 2"));
  CHECK_THROWS_WITH(Features({1}, 0), Contains("0 dimensions"));
  CHECK_THROWS_WITH(Features({1, 0, 1, 1}, 2), Contains("row 1 has length 1.41"));
  CHECK_THROWS_AS(Features({NAN, 0}, 2), InputError);
}

TEST_CASE_METHOD(Fixture, "a picture is classified as cuclip classify does it") {
  const Strings labels = {"a", "b c", "dd"}, templates = {"{}", "x {}"};
  const std::vector<LabelProbability> ranked = clip.classify(picture(2), labels, templates);
  const auto json = cuclip_json({"classify", picture(2), "--labels", "a,b c,dd", "--threads", "2", "--device",
                                 "cpu", "--templates", folder.write("t.txt", "{}\nx {}\n")});
  REQUIRE(ranked.size() == 3);
  double sum = 0;
  for (size_t i = 0; i < 3; ++i) {
    CHECK(ranked[i].label == json["labels"][i]["label"]);
    CHECK(ranked[i].label == labels[ranked[i].index]);
    CHECK(ranked[i].probability == json["labels"][i]["probability"].get<double>());
    CHECK(ranked[i].similarity == json["labels"][i]["similarity"].get<float>());
    sum += ranked[i].probability;
  }
  CHECK(sum == Approx(1));
  const Image image = load_image(picture(2));
  const Padded padded(image);
  CHECK(clip.classify(padded.view, labels, templates)[1].probability == ranked[1].probability);
  CHECK(clip.classify(picture(2), labels).front().probability ==
        clip.classify(picture(2), labels, load_templates("simple")).front().probability);

  CHECK_THROWS_WITH(clip.classify(picture(2), Strings{}), Contains("labels"));
  CHECK_THROWS_WITH(clip.classify(picture(2), Strings{"a", ""}), Contains("label 1"));
  CHECK_THROWS_WITH(clip.classify(picture(2), labels, Strings{"{}", "no place"}),
                    Contains("template 1") && Contains("{}"));
  CHECK_THROWS_WITH(clip.classify(folder / "missing.png", labels), Contains("missing.png"));
}

TEST_CASE_METHOD(Fixture, "what load is given wrongly is refused, and what it has to say goes to the log") {
  const auto refused = [&](const LoadOptions& options, const char* why) {
    CHECK_THROWS_WITH(Clip::load(run, options), Contains(why));
  };
  refused({.threads = -1, .device = "cpu"}, "threads");
  refused({.threads = 1'000'000, .device = "cpu"}, "threads");
  refused({.precision = "fp16", .device = "cpu"}, "precision must be one of fp32, tf32, bf16");
  refused({.device = "gpu"}, "device must be one of auto, cpu, cuda, cuda:N, got \"gpu\"");
  for (const char* numbered : {"cuda:", "cuda:-1", "cuda:x", "cuda:1x", "cuda:99999999999"})
    refused({.device = numbered}, "expected a GPU's number after \"cuda:\"");
  refused({.device = "cuda:77"}, "device cuda:77: ");
  refused({.device = "cpu", .tokenizer = folder / "missing.txt"}, "missing.txt");
  CHECK_THROWS_AS(Clip::load("", on_cpu()), InputError);
  CHECK_THROWS_WITH(Clip::load(folder / "nothing.safetensors", on_cpu()), Contains("no such file"));

  Strings lines;
  LoadOptions options = on_cpu();
  options.log = [&](std::string_view line) { lines.emplace_back(line); };
  Clip::load(run, options);
  CHECK(lines.empty());
  Clip::load("cuclip-tiny", options);
  REQUIRE(lines.size() == 1);
  CHECK_THAT(lines[0], Contains("untrained"));
  options.log = [](std::string_view) { throw Error("enough"); };
  CHECK_THROWS_WITH(Clip::load("cuclip-tiny", options), "enough");
}

TEST_CASE_METHOD(Fixture, "copies share the model, which lives as long as any of them") {
  Clip first = clip;
  const std::vector<float> before = values(first.encode_texts(Strings{"a"}));
  Clip moved = std::move(first);
  first = Clip::load("cuclip-tiny", on_cpu());
  CHECK(values(moved.encode_texts(Strings{"a"})) == before);
  CHECK(first.dimensions() != moved.dimensions());
  CHECK(std::string(version()) == "0.1.0");
}

}  // namespace
}  // namespace cuclip::test
