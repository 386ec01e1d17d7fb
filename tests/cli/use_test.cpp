// The commands that use a model, run as a user would.
#include <catch2/catch.hpp>
#include <cmath>
#include <set>

#include "core/file_io.h"
#include "models/files/safetensors.h"
#include "models/inference/encode.h"
#include "models/inference/model_source.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;

TEST_CASE_METHOD(ModelOnDisk, "classify gives probabilities that sum to one, the best first") {
  const auto json =
      cuclip_json({"classify", picture(0), "--labels", "a cat, b dog ,c", "--templates", "none"});
  CHECK(json["image"] == picture(0));
  REQUIRE(json["labels"].size() == 3);
  double sum = 0, last = 2;
  for (const auto& label : json["labels"]) {
    const double probability = label["probability"];
    CHECK(probability <= last);
    last = probability;
    sum += probability;
  }
  CHECK(sum == Approx(1.0));
  const CommandResult table = cuclip({"classify", picture(0), "--labels", "a cat,b dog,c"});
  CHECK(table.exit_code == 0);
  CHECK_THAT(table.out, Contains("a cat") && Contains("%"));
}

TEST_CASE_METHOD(ModelOnDisk, "labels that are one to the model are refused before it is loaded") {
  for (const std::string labels : {"a,b,a", "Red fox,b,red  fox"}) {
    const CommandResult result =
        run_cuclip({"classify", picture(0), "--labels", labels, "--model", folder / "no-such-model"});
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains("--labels: ") && Contains("are one class to a model"));
  }
}

TEST_CASE_METHOD(ModelOnDisk, "pictures of every kind and shape are taken") {
  for (const char* name : {"one_row.png", "one_column.jpg", "one_pixel.png", "grey8_alpha.png", "grey16.png",
                           "rgb16_alpha.png", "palette1_alpha.png", "cmyk.jpg", "rgba32.bmp", "animated.gif",
                           "lossy_alpha.webp", "rgb24_runs.tga", "rgb8.ppm", "rgb16.psd"}) {
    INFO(name);
    const std::string file = test_data() + "/pictures/" + name;
    CHECK(cuclip({"classify", file, "--labels", "a,b"}).exit_code == 0);
  }
}

TEST_CASE_METHOD(ModelOnDisk, "classify reads labels and templates from files") {
  folder.write("labels.txt", "one, two\nthree\n");
  folder.write("templates.txt", "{}\nx {}\n");
  const auto json = cuclip_json(
      {"classify", picture(1), "--labels", folder / "labels.txt", "--templates", folder / "templates.txt"});
  CHECK(json["labels"].size() == 2);
}

TEST_CASE_METHOD(ModelOnDisk, "matrix prints a table and draws a heat map in either format") {
  const auto json = cuclip_json(
      {"matrix", "--images", picture(0), picture(1), "--texts", "a", "b", "c d", "--out", folder / "m.svg"});
  REQUIRE(json["similarity"].size() == 2);
  REQUIRE(json["similarity"][0].size() == 3);
  for (const auto& row : json["similarity"]) {
    for (const double x : row) CHECK(std::abs(x) <= 1.0001);
  }
  CHECK_THAT(read_file(folder / "m.svg"), Contains("<svg"));
  const CommandResult png =
      cuclip({"matrix", "--images", picture(0), "--texts", "a", "--out", folder / "m.png"});
  CHECK(png.exit_code == 0);
  CHECK(read_file(folder / "m.png").starts_with("\x89PNG"));
}

TEST_CASE_METHOD(ModelOnDisk, "matrix says the loss of as many pictures as captions") {
  const auto json =
      cuclip_json({"matrix", "--images", picture(0), picture(1), picture(2), "--texts", "a", "b c", "d"});
  // -log of the share that the own caption has of its row, and the own picture of its column.
  const double scale = json["logit_scale"];
  double loss = 0;
  for (size_t i = 0; i < 3; ++i) {
    double row = 0, column = 0;
    for (size_t j = 0; j < 3; ++j) {
      row += std::exp(scale * json["similarity"][i][j].get<double>());
      column += std::exp(scale * json["similarity"][j][i].get<double>());
    }
    loss += (std::log(row) + std::log(column) - 2 * scale * json["similarity"][i][i].get<double>()) / 6;
  }
  CHECK(json["loss"].get<double>() == Approx(loss).epsilon(1e-5));
  CHECK_THAT(cuclip({"matrix", "--images", picture(0), picture(1), "--texts", "a", "b"}).out,
             Contains("loss of these 2 pairs") && Contains("(chance: 0.6931)"));
  CHECK_FALSE(cuclip_json({"matrix", "--images", picture(0), "--texts", "a"}).contains("loss"));
}

TEST_CASE_METHOD(ModelOnDisk, "classify and matrix agree on similarities") {
  const auto labels =
      cuclip_json({"classify", picture(2), "--labels", "a,b", "--templates", "none"})["labels"];
  const auto row = cuclip_json({"matrix", "--images", picture(2), "--texts", "a", "b"})["similarity"][0];
  for (const auto& label : labels) {
    const double expected = row[label["label"] == "a" ? 0 : 1];
    CHECK(label["similarity"].get<double>() == Approx(expected).margin(1e-6));
  }
}

TEST_CASE_METHOD(ModelOnDisk, "encode writes features of pictures and texts in both formats") {
  const auto json = cuclip_json({"encode", "image", pictures, picture(0), "--out", folder / "f.npy"});
  CHECK(json["shape"] == nlohmann::json({9, 10}));
  CHECK(json["rows"].size() == 9);
  CHECK(json["rows"][8] == picture(0));
  CHECK_THAT(read_file(folder / "f.npy"), Contains("'shape': (9, 10)"));

  const auto texts = cuclip_json({"encode", "text", "a b", "c", "--out", folder / "t.safetensors"});
  CHECK(texts["rows"] == nlohmann::json({"a b", "c"}));
  CHECK(Safetensors::open(folder / "t.safetensors").find("features")->describe() == "F32 [2, 10]");

  folder.write("texts.txt", "one\ntwo\n\nthree\n");
  cuclip_json({"encode", "text", "--texts-file", folder / "texts.txt", "--hidden-states", "--out",
               folder / "h.safetensors"});
  CHECK(Safetensors::open(folder / "h.safetensors").find("features")->describe() == "F32 [3, 7, 24]");
}

TEST_CASE_METHOD(ModelOnDisk, "a picture is found by itself in an index of its folder") {
  const std::string index = folder / "p.cuclip-index";
  for (const std::string store : {"fp32", "bf16"}) {
    const auto made = cuclip_json({"index", pictures, "--out", index, "--store", store});
    CHECK(made["pictures"] == 8);
    const auto found = cuclip_json({"search", index, "--image", pictures + "/below/7.png", "--top", "3"});
    REQUIRE(found["hits"].size() == 3);
    CHECK(found["hits"][0]["path"] == pictures + "/below/7.png");
    CHECK(found["hits"][0]["similarity"].get<double>() == Approx(1.0).margin(0.01));
    CHECK(found["hits"][0]["rank"] == 1);
  }
  const CommandResult words = run_cuclip({"search", index, "a b c", "--contact-sheet", folder / "sheet.png"});
  CHECK(words.exit_code == 0);  // the index knows its model
  CHECK(std::count(words.out.begin(), words.out.end(), '\n') == 8);
  CHECK(read_file(folder / "sheet.png").starts_with("\x89PNG"));
  const std::string page = folder / "found.html";
  CHECK(cuclip_json({"search", index, "<i>a", "--html", page})["html"] == page);
  const std::string html = read_file(page);
  CHECK_THAT(html, Contains("<h1>\"&lt;i&gt;a\"</h1>") && Contains("7.png</figcaption>"));
  const std::string picture = pictures + "/below/7.png";
  CHECK(run_cuclip({"search", index, "a", "--html", picture}).exit_code == 2);
}

TEST_CASE_METHOD(ModelOnDisk, "a data set can be indexed, and its pictures drawn") {
  const std::string index = folder / "s.cuclip-index";
  const auto made = cuclip_json({"index", "synthetic:shapes?size=24&count=30&seed=2", "--out", index});
  CHECK(made["pictures"] == 30);
  const auto found =
      cuclip_json({"search", index, "a star", "--top", "5", "--contact-sheet", folder / "s.svg"});
  CHECK(found["hits"].size() == 5);
  CHECK(found["searched"] == 30);
  CHECK(found["hits"][0]["key"].is_string());
  CHECK_THAT(read_file(folder / "s.svg"), Contains("<svg"));
}

TEST_CASE_METHOD(ModelOnDisk, "hidden states are of the layer and with the padding that were asked for") {
  const auto states = [&](const std::vector<std::string>& more) {
    std::vector<std::string> arguments = {
        "encode", "text", "a", "--threads", "1", "--hidden-states", "--out", folder / "h.safetensors"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    CHECK(cuclip_json(arguments)["shape"] == nlohmann::json({1, 7, 24}));
    const Safetensors file = Safetensors::open(folder / "h.safetensors");
    const auto data = file.find("features")->data;
    const auto* values = reinterpret_cast<const float*>(data.data());
    return std::vector<float>(values, values + data.size() / sizeof(float));
  };
  Context context(1);
  const LoadedModel loaded = load_model(context, run);
  const auto expected = [&](const HiddenStateOptions& options, TextPadding padding) {
    const std::vector<std::string> texts = {"a"};
    return encode_hidden_states(*loaded.model, loaded.tokenizer(), texts, options, padding).to_floats();
  };
  std::set<std::vector<float>> all;
  for (const TextLayer layer : {TextLayer::last, TextLayer::penultimate}) {
    for (const bool end : {false, true}) {
      const TextPadding padding = end ? TextPadding::end : TextPadding::zero;
      std::vector<std::string> flags = {"--layer", std::string(word(layer)), "--padding",
                                        end ? "end" : "zero"};
      for (const bool final_norm : {true, false}) {
        if (!final_norm) flags.push_back("--no-final-norm");
        const std::vector<float> actual = states(flags);
        CHECK(actual == expected({.layer = layer, .final_norm = final_norm}, padding));
        all.insert(actual);
      }
    }
  }
  CHECK(all.size() == 8);  // or the comparisons would say nothing
  CHECK(states({}) == expected({}, TextPadding::zero));
  for (const std::vector<std::string>& alone : std::vector<std::vector<std::string>>{
           {"--layer", "last"}, {"--padding", "end"}, {"--no-final-norm"}}) {
    std::vector<std::string> arguments = {"encode", "text", "a", "--out", folder / "f.npy"};
    arguments.insert(arguments.end(), alone.begin(), alone.end());
    const CommandResult result = cuclip(arguments);
    CHECK(result.exit_code == 2);
    CHECK_THAT(result.err, Contains(alone[0]) && Contains("--hidden-states"));
  }
}

TEST_CASE_METHOD(ModelOnDisk, "eval retrieval gives both directions") {
  for (int i = 0; i < 7; ++i)
    folder.write("pictures/" + std::to_string(i) + ".txt", "picture " + std::to_string(i));
  folder.write("pictures/below/7.txt", "another");
  const auto json = cuclip_json({"eval", "retrieval", "--data", pictures});
  CHECK(json["image_to_text"]["queries"] == 8);
  CHECK(json["text_to_image"]["chance"]["R@1"].get<double>() == Approx(1.0 / 8));
  const CommandResult table = cuclip({"eval", "retrieval", "--data", pictures, "--limit", "4"});
  CHECK(table.exit_code == 0);
  CHECK_THAT(table.out, Contains("4 pictures") && Contains("  chance R@10\n") && Contains("text to image"));
}

TEST_CASE_METHOD(ModelOnDisk, "eval zero-shot takes folders, a table, and synthetic:shapes") {
  for (const std::string name : {"set/a_cat/1.png", "set/a_cat/2.png", "set/dog/1.png"}) {
    folder.write(name, bmp_bytes(random_image(15, 15)));
  }
  const auto folders = cuclip_json({"eval", "zero-shot", "--data", folder / "set", "--templates", "openai7"});
  CHECK(folders["pictures"] == 3);
  CHECK(folders["classes"][0]["class"] == "a cat");
  CHECK_FALSE(folders.contains("top5"));
  for (const std::string name : {"e", "f", "g", "h"})
    folder.write("set/" + name + "/1.png", bmp_bytes(random_image(15, 15)));
  CHECK(cuclip_json({"eval", "zero-shot", "--data", folder / "set"})["top5_interval"].size() == 2);
  CHECK_THAT(cuclip({"eval", "zero-shot", "--data", folder / "set"}).out, Contains("top-5"));

  folder.write("labels.csv", "filepath,label\nset/dog/1.png,dog\nset/a_cat/1.png,cat\n");
  const auto table = cuclip_json({"eval", "zero-shot", "--data", folder / "labels.csv"});
  CHECK(table["pictures"] == 2);

  const auto shapes = cuclip_json({"eval", "zero-shot", "--data", "synthetic:shapes", "--count", "7"});
  for (const std::string question : {"seen", "held-out", "counting", "spatial", "negation"}) {
    CHECK(shapes[question]["pictures"] == 7);
    CHECK(shapes[question]["chance"].get<double>() > 0);
  }
}

TEST_CASE_METHOD(ModelOnDisk, "convert there and back gives the same weights") {
  CHECK(cuclip({"convert", "--to", "hf", "--out", folder / "hf.safetensors"}).exit_code == 0);
  CHECK(Safetensors::open(folder / "hf.safetensors").find("visual_projection.weight"));
  const std::string config = run + "/checkpoints/step-3/open_clip_config.json";
  const CommandResult back = run_cuclip({"convert", "--model", folder / "hf.safetensors", "--config-name",
                                         config, "--to", "open_clip", "--out", folder / "back"});
  CHECK(back.exit_code == 0);
  const Safetensors first = Safetensors::open(run + "/checkpoints/step-3/model.safetensors");
  const Safetensors second = Safetensors::open(folder / "back/model.safetensors");
  REQUIRE(first.tensors().size() == second.tensors().size());
  for (const auto& [name, entry] : first.tensors()) {
    REQUIRE(second.find(name));
    CHECK(std::equal(entry.data.begin(), entry.data.end(), second.find(name)->data.begin()));
  }
}

TEST_CASE_METHOD(ModelOnDisk, "one thread and two give the same features") {
  cuclip_json({"encode", "image", pictures, "--out", folder / "1.npy", "--threads", "1"});
  cuclip_json({"encode", "image", pictures, "--out", folder / "2.npy", "--threads", "2"});
  CHECK(read_file(folder / "1.npy") == read_file(folder / "2.npy"));
}

TEST_CASE_METHOD(ModelOnDisk, "bf16 gives nearly the features of fp32") {
  const auto exact = cuclip_json({"matrix", "--images", picture(0), "--texts", "a b"})["similarity"][0][0];
  const auto rough = cuclip_json(
      {"matrix", "--images", picture(0), "--texts", "a b", "--precision", "bf16"})["similarity"][0][0];
  CHECK(rough.get<double>() == Approx(exact.get<double>()).margin(0.1));
}

TEST_CASE("info lists the built-in models with their sizes") {
  const CommandResult result = run_cuclip({"info", "--json"});
  REQUIRE(result.exit_code == 0);
  const auto info = nlohmann::json::parse(result.out);
  bool found = false;
  for (const auto& model : info["models"]) {
    if (model["name"] != "ViT-B-32") continue;
    found = true;
    CHECK(model["parameters"] == 151277313);
    CHECK(model["image_size"] == 224);
    CHECK(model["flops_per_pair"].get<double>() > 1e9);
  }
  CHECK(found);
  CHECK(info["launcher"]["name"] == "none");
  CHECK(info["launcher"]["size"] == 1);
  CHECK(info["mpi"].contains(info["mpi"]["usable"] ? "library" : "problem"));
  CHECK_THAT(run_cuclip({"info"}).out,
             Contains("cuclip-small") && Contains("launcher: none, rank 0 of 1\nmpi: "));
}

TEST_CASE("an untrained model runs by its name and says what it is") {
  const TemporaryFolder folder;
  const CommandResult result =
      run_cuclip({"encode", "text", "a star", "--model", "cuclip-tiny", "--out", folder / "f.npy"});
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("untrained"));
}

}  // namespace
}  // namespace cuclip::test
