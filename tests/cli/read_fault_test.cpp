// labels: release_only
// Files that cannot be read: the message names the file and the system's reason; a sample is counted as bad,
// and the run continues while there are few of them.
#include <fmt/format.h>

#include <catch2/catch.hpp>

#include "core/file_io.h"
#include "tests/support/faulty_cuclip.h"
#include "tests/support/model_on_disk.h"
#include "tests/train/data_fixtures.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

constexpr const char* kReason = "Input/output error";

void check_named(const CommandResult& result, const std::string& file, int exit_code) {
  INFO(result.err);
  CHECK(result.exit_code == exit_code);
  CHECK_THAT(result.err, Contains(file) && Contains(kReason));
}

// The disk fails from the n-th read of the file onwards. An index is mapped.
SystemFault broken(const std::string& file, int64_t at = 1) {
  return {.under = file, .calls = "read,map", .how = "EIO", .failing_call = at, .for_ever = true};
}

struct Pairs : SmallRuns {
  Pairs() {
    TarBytes tar;
    for (int i = 0; i < kPairs; ++i) {
      const std::string picture = bmp_bytes(random_image(20 + i, 17)), caption = fmt::format("picture {}", i);
      tar.file(fmt::format("{}.png", i), picture).file(fmt::format("{}.txt", i), caption);
      folder.write(fmt::format("pairs/{}.png", i), picture);
      folder.write(fmt::format("pairs/{}.txt", i), caption);
      csv += fmt::format("pairs/{}.png,{}\n", i, caption);
    }
    folder.write("pairs.tar", tar.finish());
    folder.write("pairs.csv", csv);
  }
  // One epoch, so that every pair has its turn.
  Arguments train(const std::string& data) {
    Arguments all = arguments(folder / ("run" + std::to_string(++count)), kPairs / 4, false);
    all[4] = data;
    return all;
  }

  static constexpr int kPairs = 24;
  std::string csv = "filepath,title\n";
  int count = 0;
};

TEST_CASE_METHOD(Pairs, "a picture or caption on a bad sector is a bad sample, counted and named") {
  for (const std::string source : {folder / "pairs", folder / "pairs.csv"}) {
    INFO(source);
    const CommandResult result = run_faulty_cuclip(broken("/pairs/3.png"), train(source));
    check_named(result, "pairs/3.png", 0);
    CHECK_THAT(result.err, Contains("1 (1 unreadable file)"));
  }
  check_named(run_faulty_cuclip(broken("/pairs/3.txt"), train(folder / "pairs")), "pairs/3.txt", 0);
  check_named(run_faulty_cuclip(broken("/pairs/"), train(folder / "pairs")), "no caption can be read: 24", 2);
  check_named(run_faulty_cuclip(broken("pairs.csv"), train(folder / "pairs.csv")), "pairs.csv", 2);
}

TEST_CASE_METHOD(Pairs, "a shard on a bad sector is refused at the start, its samples are counted later") {
  const std::string shard = folder / "pairs.tar";
  const SystemFault none{.under = "pairs.tar", .calls = "read"};
  const auto reads = std::ssize(calls_of(none, train(shard)));
  check_named(run_faulty_cuclip(broken("pairs.tar"), train(shard)), "cannot read " + shard, 2);
  // Towards the end the pairs are read for training, caption and picture of each.
  const CommandResult last = run_faulty_cuclip(broken("pairs.tar", reads), train(shard));
  check_named(last, shard, 0);
  CHECK_THAT(last.err, Contains("1 (1 unreadable file)"));
  const CommandResult many = run_faulty_cuclip(broken("pairs.tar", reads - kPairs / 2), train(shard));
  check_named(many, shard, 2);
  CHECK_THAT(many.err, Contains("--max-bad-fraction"));
}

TEST_CASE_METHOD(Pairs, "a checkpoint that cannot be read is passed over by name") {
  for (const char* file : {"state.json", "tokenizer.txt.gz", "open_clip_config.json", "model.safetensors",
                           "optimizer.safetensors"}) {
    fs::remove_all(folder / "run");
    fs::copy(folder / "reference", folder / "run", fs::copy_options::recursive);
    const std::string path = folder / "run/checkpoints/step-3" / file;
    const CommandResult result = run_faulty_cuclip(broken(path), arguments(folder / "run", 3));
    check_named(result, path, 0);
    CHECK_THAT(result.err,
               Contains("step-3 is damaged") && Contains("resuming from") && Contains("(step 2)"));
    check_goes_on(folder / "run");
  }
  const std::string weights = folder / "reference/checkpoints/step-3/model.safetensors";
  const SystemFault shut{
      .under = weights, .calls = "open", .how = "EACCES", .failing_call = 1, .for_ever = true};
  const CommandResult passed = run_faulty_cuclip(shut, arguments(folder / "reference", 3));
  CHECK(passed.exit_code == 0);
  CHECK_THAT(passed.err, Contains(weights + ": Permission denied") && Contains("(step 2)"));
}

TEST_CASE_METHOD(Pairs, "a folder that leads back to itself is walked once") {
  fs::create_directory_symlink(folder / "pairs", folder / "pairs/again");
  const CommandResult result = run_cuclip(train(folder / "pairs"));
  INFO(result.err);
  CHECK(result.exit_code == 0);
  CHECK_THAT(result.err, Contains("pairs: 24 pictures with captions"));
}

TEST_CASE_METHOD(ModelOnDisk, "pictures that cannot be read are listed, or named where there is only one") {
  const SystemFault fault = broken("/pictures/3.png");
  const auto run_it = [&](Arguments arguments) {
    arguments.insert(arguments.end(), {"--model", run});
    return run_faulty_cuclip(fault, arguments);
  };
  for (const Arguments& arguments : {Arguments{"index", pictures, "--out", folder / "i.cuclip-index"},
                                     {"encode", "image", pictures, "--out", folder / "f.npy"}}) {
    const CommandResult result = run_it(arguments);
    check_named(result, "3.png", 0);
    CHECK_THAT(result.err, Contains("1 picture could not be read"));
  }
  check_named(run_it({"classify", picture(3), "--labels", "a,b"}), "3.png", 2);
  check_named(run_it({"search", folder / "i.cuclip-index", "--image", picture(3)}), "3.png", 2);

  const std::string weights = run + "/checkpoints/step-3/model.safetensors";
  for (const std::string& damaged : {weights, (folder / "i.cuclip-index").string()}) {
    const Arguments search = {"search", folder / "i.cuclip-index", "a", "--model", weights};
    check_named(run_faulty_cuclip(broken(damaged), search), "cannot read " + damaged, 2);
  }
  // The start of the file, its header, the first and a later weight.
  for (const int64_t at : {1, 2, 3, 9}) {
    const Arguments encode = {"encode", "image", picture(2), "--out", folder / "w.npy", "--model", weights};
    check_named(run_faulty_cuclip(broken(weights, at), encode), "cannot read " + weights, 2);
  }
}

TEST_CASE_METHOD(ModelOnDisk,
                 "a picture that changes or vanishes while it is indexed is passed over by name") {
  const std::string index = folder / "i.cuclip-index";
  const auto hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& file : fs::recursive_directory_iterator(pictures))
    if (file.is_regular_file()) fs::last_write_time(file, hour_ago);
  const Arguments arguments = {"index", pictures, "--out", index, "--model", run, "--json"};
  const auto meddled = [&](const std::string& file, const std::string& how, const std::string& call) {
    return run_faulty_cuclip({.under = file, .calls = call, .how = how, .failing_call = 1}, arguments);
  };
  const auto check = [&](const CommandResult& result, const std::string& file, const std::string& why) {
    INFO(result.err);
    REQUIRE(result.exit_code == 0);
    CHECK_THAT(result.err, Contains("1 picture could not be read") && Contains(file) && Contains(why));
    const auto json = nlohmann::json::parse(result.out);
    CHECK(json["unreadable"].size() == 1);
    return json["pictures"].get<int>();
  };
  CHECK(check(meddled("/3.png", "rewrite", "read"), "3.png", "changed while it was read") == 7);
  CHECK(check(meddled("/3.png", "rewrite", "read"), "3.png", "changed while it was read") == 7);
  // It is taken when it is at rest.
  CHECK(cuclip_json({"index", pictures, "--out", index})["encoded"] == 1);
  fs::last_write_time(picture(4), hour_ago - std::chrono::hours(1));
  CHECK(check(meddled("/4.png", "vanish", "open"), "4.png", "gone since the folder was listed") == 7);
  // What was opened is read to its end, whatever becomes of its name.
  fs::last_write_time(picture(5), hour_ago - std::chrono::hours(1));
  const CommandResult opened = meddled("/5.png", "vanish", "read");
  CHECK_FALSE(path_exists(picture(5)));
  CHECK(nlohmann::json::parse(opened.out)["unchanged"] == 7);
  CHECK(cuclip_json({"index", pictures, "--out", index})["removed"] == 1);
}

}  // namespace
}  // namespace cuclip::test
