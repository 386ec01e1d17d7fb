// labels: threads
#include "models/inference/encode.h"

#include <algorithm>
#include <atomic>
#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include "models/files/picture_files.h"
#include "models/image/image_transform.h"
#include "tests/support/buffer.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"

namespace cuclip::test {
namespace {

struct Fixture {
  Fixture() { randomise(model); }

  // The feature of one picture, encoded alone.
  std::vector<float> alone(const Image& image) {
    std::vector<uint8_t> pixels(12 * 12 * 3);
    evaluation_pixels(image, EvaluationTransform(12), pixels);
    return encode_pixels(model, pixels).to_floats();
  }

  Context context{2};
  ClipModel model{context, tiny_config()};
  TemporaryFolder folder;
};

// The order of sums depends on a product's shape alone, but a batch of another size is another shape: rows of
// a batch and single rows agree to roundings of unit-length features.
void check_row(const Tensor& features, int64_t row, const std::vector<float>& expected) {
  const std::vector<float> actual = features.rows(row, 1).to_floats();
  REQUIRE(actual.size() == expected.size());
  for (size_t i = 0; i < expected.size(); ++i) CHECK(actual[i] == Approx(expected[i]).margin(1e-5));
}

TEST_CASE_METHOD(Fixture, "pictures of any size are encoded, in order, beyond one batch") {
  std::vector<Image> images;
  for (int i = 0; i < 70; ++i) images.push_back(random_image(5 + i % 20, 5 + i % 13));
  const EncodedPictures encoded =
      encode_pictures(model, 70, [&](int64_t i) { return images[static_cast<size_t>(i)]; });
  CHECK(encoded.unreadable.empty());
  REQUIRE(encoded.features.shape() == Shape{70, 10});
  for (const int64_t row : {0, 1, 63, 64, 69}) {
    CHECK(encoded.kept[static_cast<size_t>(row)] == row);
    check_row(encoded.features, row, alone(images[static_cast<size_t>(row)]));
  }
}

TEST_CASE_METHOD(Fixture, "features have unit length") {
  const Image image = random_image(20, 20);  // not in the callback: the generator is not for several threads
  const EncodedPictures encoded = encode_pictures(model, 3, [&](int64_t) { return image; });
  for (int64_t row = 0; row < 3; ++row) {
    double square = 0;
    for (const float x : encoded.features.rows(row, 1).to_floats()) square += double{x} * x;
    CHECK(std::sqrt(square) == Approx(1.0).margin(1e-5));
  }
}

// Rows of [N, E], times W [width, E] where there is one, with unit length.
std::vector<double> unit_rows(const std::vector<float>& rows, int64_t width, const Parameter* projection) {
  const int64_t out = projection ? projection->shape[1] : width;
  const std::vector<float> matrix = projection ? projection->value.to_floats() : std::vector<float>();
  std::vector<double> result;
  for (size_t row = 0; row < rows.size(); row += static_cast<size_t>(width)) {
    std::vector<double> values(static_cast<size_t>(out));
    double square = 0;
    for (size_t e = 0; e < values.size(); ++e) {
      if (!projection) values[e] = double{rows[row + e]};
      for (size_t d = 0; projection && d < static_cast<size_t>(width); ++d)
        values[e] += double{rows[row + d]} * matrix[d * values.size() + e];
      square += values[e] * values[e];
    }
    for (const double x : values) result.push_back(x / std::sqrt(square));
  }
  return result;
}

TEST_CASE("representations are what the projection turns into features; a ResNet's are projected already") {
  for (const ClipConfig& config : {tiny_config(), tiny_resnet_config()}) {
    Context context(2);
    ClipModel model(context, config);
    randomise(model);
    const auto size = static_cast<size_t>(config.vision.image_size);
    std::vector<uint8_t> pixels(66 * size * size * 3);  // beyond one batch
    for (uint8_t& byte : pixels) byte = static_cast<uint8_t>(rng()());
    const Tensor unit = encode_pixels(model, pixels),
                 inner = encode_pixels(model, pixels, {}, FeatureKind::pooled);
    const int64_t width = config.vision.is_resnet() ? 10 : 16;
    REQUIRE(config.representation_width() == width);
    REQUIRE(inner.shape() == Shape{66, width});
    const auto& parameters = model.parameters().parameters();
    const auto projection = std::find_if(parameters.begin(), parameters.end(),
                                         [](const Parameter& p) { return p.name == "visual.proj"; });
    REQUIRE((projection == parameters.end()) == config.vision.is_resnet());
    const std::vector<double> expected =
        unit_rows(inner.to_floats(), width, projection == parameters.end() ? nullptr : &*projection);
    const std::vector<float> actual = unit.to_floats();
    REQUIRE(actual.size() == expected.size());
    for (size_t i = 0; i < actual.size(); ++i) REQUIRE(actual[i] == Approx(expected[i]).margin(1e-5));
  }
}

TEST_CASE_METHOD(Fixture, "unreadable pictures are skipped and listed") {
  std::vector<std::filesystem::path> files;
  const Image first = random_image(9, 9), last = random_image(30, 14);
  files.push_back(folder.write("0.bmp", bmp_bytes(first)));
  files.push_back(folder.write("1.jpg", "<!DOCTYPE html><html>not a picture</html>"));
  files.push_back(folder.write("2.png", ""));
  files.push_back(folder / "3-not-there.png");
  files.push_back(folder.write("4.bmp", bmp_bytes(last)));
  const EncodedPictures encoded = encode_picture_files(model, files);
  CHECK(encoded.kept == std::vector<int64_t>{0, 4});
  REQUIRE(encoded.unreadable.size() == 3);
  CHECK(encoded.unreadable[0].index == 1);
  CHECK_THAT(encoded.unreadable[0].reason, Catch::Contains("1.jpg") && Catch::Contains("HTML"));
  CHECK_THAT(encoded.unreadable[2].reason, Catch::Contains("3-not-there.png"));
  check_row(encoded.features, 0, alone(first));
  check_row(encoded.features, 1, alone(last));
}

TEST_CASE_METHOD(Fixture, "on request the first unreadable picture ends the work, and no picture is needed") {
  const Image image = random_image(9, 9);
  std::atomic<int> loaded = 0;
  const auto load = [&](int64_t i) {
    ++loaded;
    if (i == 70) fail_input("70.png: no picture");
    return image;
  };
  const auto refuse = [&](int64_t count) {
    encode_pictures(model, count, load, {}, FeatureKind::unit, UnreadablePictures::refuse);
  };
  CHECK_THROWS_WITH(refuse(1000), "picture 70 of 1000, counted from 0, cannot be used: 70.png: no picture");
  CHECK(loaded == 2 * kPictureBatch);
  CHECK_NOTHROW(refuse(70));
  const auto bad = [](int64_t) -> Image { fail_input("it is bad"); };
  CHECK_THROWS_WITH(encode_pictures(model, 1, bad), "it is bad");
  const EncodedPictures none =
      encode_pictures(model, 2, bad, {}, FeatureKind::unit, UnreadablePictures::pass_over_all);
  CHECK(none.unreadable.size() == 2);
  CHECK_FALSE(none.features);
}

TEST_CASE_METHOD(Fixture, "only bad pictures, or none, is an error") {
  const std::filesystem::path bad = folder.write("bad.png", "no picture");
  CHECK_THROWS_WITH(encode_picture_files(model, std::vector{bad, bad}),
                    Catch::Contains("none of the 2") && Catch::Contains("bad.png"));
  CHECK_THROWS_AS(encode_picture_files(model, {}), InputError);
  CHECK_THROWS_AS(encode_pixels(model, std::vector<uint8_t>(100)), InputError);
}

TEST_CASE_METHOD(Fixture, "texts are encoded in order, beyond one batch, and the long ones cut") {
  const Tokenizer tokenizer = tiny_tokenizer();
  std::vector<std::string> texts;
  for (int i = 0; i < 300; ++i) texts.push_back(std::string(1 + i % 9, static_cast<char>('a' + i % 26)));
  texts[299] = "";
  const Tensor features = encode_texts(model, tokenizer, texts);
  REQUIRE(features.shape() == Shape{300, 10});
  for (const size_t row : {0u, 255u, 256u, 299u}) {
    check_row(features, static_cast<int64_t>(row),
              encode_texts(model, tokenizer, std::span(&texts[row], 1)).to_floats());
  }
  CHECK_THROWS_AS(encode_texts(model, tokenizer, {}), InputError);
}

TEST_CASE("models on several threads share one pool, each with its own context") {
  const auto pool = std::make_shared<ThreadPool>(3);
  const std::vector<std::string> texts = {"a", "b c", "d e a b", "ee"};
  std::vector<std::vector<float>> together(3), alone(3);
  const auto encode = [&](size_t i, std::vector<float>& result) {
    Context context(pool);
    ClipModel model(context, tiny_config());
    model.initialise(i);
    result = encode_texts(model, tiny_tokenizer(), texts).to_floats();
  };
  std::vector<std::thread> threads;
  for (size_t i = 0; i < together.size(); ++i) threads.emplace_back([&, i] { encode(i, together[i]); });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < alone.size(); ++i) {
    encode(i, alone[i]);
    CHECK(together[i] == alone[i]);
  }
  CHECK(alone[0] != alone[1]);
}

TEST_CASE_METHOD(Fixture, "hidden states have a row for every position") {
  const std::vector<std::string> texts = {"ab", "cde fgh"};
  const Tokenizer tokenizer = tiny_tokenizer();
  const Tensor zero = encode_hidden_states(model, tokenizer, texts),
               end = encode_hidden_states(model, tokenizer, texts, {}, TextPadding::end);
  REQUIRE(zero.shape() == Shape{2, 7, 24});
  const std::vector<float> a = zero.to_floats(), b = end.to_floats();
  // "ab": start, at most two tokens, end. What comes after does not reach back, and differs.
  CHECK(std::equal(a.begin(), a.begin() + 3 * 24, b.begin(),
                   [](float x, float y) { return x == Approx(y).margin(1e-5); }));
  CHECK(std::vector(a.begin() + 6 * 24, a.begin() + 7 * 24) !=
        std::vector(b.begin() + 6 * 24, b.begin() + 7 * 24));
}

TEST_CASE_METHOD(Fixture, "pictures are found in folders below, sorted, by any case of their extension") {
  for (const std::string name : {"b/1.JPG", "a/z.png", "a/b/x.jpeg", "c.bmp", "d.WebP", "e.gif", "f.tif",
                                 "g.tga", "h.ppm", "i.psd", "j.svg"})
    folder.write(name, "x");
  folder.write("notes.txt", "x");
  folder.write("fake.png/inner.txt", "x");
  std::vector<std::string> names;
  std::vector<std::string> notes;
  for (const auto& path : find_pictures(folder.path(), notes))
    names.push_back(std::filesystem::relative(path, folder.path()));
  CHECK(names == std::vector<std::string>{"a/b/x.jpeg", "a/z.png", "b/1.JPG", "c.bmp", "d.WebP", "e.gif",
                                          "f.tif", "g.tga", "h.ppm", "i.psd"});
}

TEST_CASE_METHOD(Fixture, "a folder without pictures, or a path that is not a folder, is refused") {
  std::vector<std::string> notes;
  CHECK_THROWS_WITH(find_pictures(folder.path(), notes), Catch::Contains("no picture"));
  CHECK_THROWS_WITH(find_pictures(folder / "missing", notes), Catch::Contains("missing"));
}

}  // namespace
}  // namespace cuclip::test
