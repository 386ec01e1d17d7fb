// labels: release_only long
// Disks that fill up or fail: whichever call fails, the command says which file and why and exits with 1;
// under the final name is what was there before or the whole new file, and no temporary file is left. What
// cannot be read is named, and counted where it is a sample.
#include <sys/stat.h>

#include <catch2/catch.hpp>
#include <map>
#include <tuple>

#include "core/file_io.h"
#include "tests/support/faulty_cuclip.h"
#include "tests/support/model_on_disk.h"
#include "tests/train/data_fixtures.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

constexpr const char* kChanges = "create,mkdir,write,fsync,close,rename,truncate";

// Every file below a folder, with its contents.
std::map<std::string, std::string> contents_of(const fs::path& folder) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    if (entry.is_regular_file()) files[entry.path().lexically_relative(folder)] = read_file(entry.path());
  return files;
}

std::string reason_of(const std::string& how) {
  return how == "ENOSPC" ? "No space left on device" : "Input/output error";
}

TEST_CASE(
    "a disk that fills up or fails under a run stops it, wherever, and the checkpoint before it loads") {
  const SmallRuns runs;
  // A write that fails fails alike, whatever the reason: the second round leaves writes out.
  for (const auto& [how, calls, least] : {std::tuple<std::string, const char*, int>("ENOSPC", kChanges, 100),
                                          {"EIO", "create,mkdir,fsync,close,rename,truncate", 25}}) {
    int failed = 0;
    for (int64_t at = 1;; ++at) {
      const std::string run = runs.copy_of_base("run");
      const SystemFault fault{.under = run, .calls = calls, .how = how, .failing_call = at};
      const CommandResult result = run_faulty_cuclip(fault, runs.arguments(run, 2));
      INFO(how << " at call " << at << ": " << result.err);
      const int64_t step = runs.check_newest(run);
      if (result.exit_code == 0) {
        REQUIRE(step == 2);
        break;
      }
      ++failed;
      REQUIRE(result.exit_code == 1);
      REQUIRE(result.out.empty());
      REQUIRE_THAT(result.err, Contains("cuclip: ") && Contains(run) && Contains(reason_of(how)));
      SmallRuns::check_tidy(run);
      if (at % 8 == 0) runs.check_goes_on(run);
    }
    REQUIRE(failed >= least);
  }
}

// A command that writes, and the folder it writes into.
struct Writer {
  const char* name;
  Arguments arguments;
  std::string out;
  bool model = true;
};

std::vector<Writer> writers(const ModelOnDisk& disk) {
  const std::string picture = disk.picture(0), index = disk.folder / "i.cuclip-index";
  const std::string pairs = disk.folder / "pairs", out = disk.folder / "out";
  return {
      {"index", {"index", disk.pictures, "--out", out + "/x.cuclip-index"}, out},
      {"npy", {"encode", "image", picture, "--out", out + "/x.npy"}, out},
      {"safetensors", {"encode", "text", "a cat", "--out", out + "/x.safetensors"}, out},
      {"convert to a file", {"convert", "--to", "hf", "--out", out + "/x.safetensors"}, out},
      {"convert to a folder", {"convert", "--to", "hf", "--out", out + "/folder"}, out},
      {"matrix as PNG", {"matrix", "--images", picture, "--texts", "a", "--out", out + "/x.png"}, out},
      {"matrix as SVG", {"matrix", "--images", picture, "--texts", "a", "--out", out + "/x.svg"}, out},
      {"contact sheet", {"search", index, "a cat", "--contact-sheet", out + "/x.png"}, out},
      {"gallery", {"search", index, "a cat", "--html", out + "/x.html"}, out},
      {"tokenizer",
       {"tokenizer", "train", "--captions", pairs + "/0.txt", "--vocab-size", "520", "--out", out + "/x.gz"},
       out,
       false},
      {"prepare",
       {"data", "prepare", "--from", pairs, "--held-out", "2", "--image-size", "16", "--out", out},
       out,
       false},
  };
}

struct Disk : ModelOnDisk {
  Disk() {
    const char* words[] = {"a red cat",     "a red dog",     "the big dog",
                           "the big house", "a small house", "one small bird"};
    for (int i = 0; i < 6; ++i) {
      folder.write("pairs/" + std::to_string(i) + ".png", bmp_bytes(random_image(30 + i, 21)));
      folder.write("pairs/" + std::to_string(i) + ".txt", words[i]);
    }
    // An index notes no time for files of the last two seconds: it would not always be the same.
    for (const auto& entry : fs::recursive_directory_iterator(pictures))
      fs::last_write_time(entry, fs::file_time_type::clock::now() - std::chrono::hours(1));
    const CommandResult indexed = cuclip({"index", pictures, "--out", folder / "i.cuclip-index"});
    INFO(indexed.err);
    REQUIRE(indexed.exit_code == 0);
  }
  Arguments whole(const Writer& writer) const {
    Arguments arguments = writer.arguments;
    if (writer.model) arguments.insert(arguments.end(), {"--model", run});
    return arguments;
  }
};

// A preparation's spool has no name, and is not read after it is closed.
bool is_end_of_spool(const std::string& call) {
  return call.starts_with("close ") && call.ends_with(" (deleted)");
}

TEST_CASE_METHOD(Disk, "no command leaves half a file when the disk fills up or fails, at whatever call") {
  for (const Writer& writer : writers(*this)) {
    INFO(writer.name);
    const auto empty = [&] {
      fs::remove_all(writer.out);
      fs::create_directories(writer.out);
    };
    empty();
    const std::vector<std::string> calls = calls_of({.under = writer.out, .calls = kChanges}, whole(writer));
    REQUIRE(calls.size() >= 5);  // create, write, fsync, close, rename and more
    const auto good = contents_of(writer.out);
    for (const std::string how : {"ENOSPC", "EIO", "kill"}) {
      for (int64_t at = 1; at <= std::ssize(calls); ++at) {
        if (is_end_of_spool(calls[static_cast<size_t>(at - 1)]) || !tells_something_new(calls, at)) continue;
        empty();
        const SystemFault fault{.under = writer.out, .calls = kChanges, .how = how, .failing_call = at};
        const CommandResult result = run_faulty_cuclip(fault, whole(writer));
        INFO(how << " at " << calls[static_cast<size_t>(at - 1)] << ": " << result.err);
        if (how == "kill") {
          REQUIRE(result.exit_code == -9);
        } else {
          REQUIRE(result.exit_code == 1);
          REQUIRE_THAT(result.err, Contains(writer.out) && Contains(reason_of(how)));
        }
        for (const auto& [name, contents] : contents_of(writer.out)) {
          if (how == "kill" && name.find(".tmp-") != std::string::npos) continue;
          INFO(name);
          REQUIRE(good.contains(name));
          REQUIRE((name == "statistics.json" || contents == good.at(name)));  // that has the seconds it took
        }
      }
    }
  }
}

TEST_CASE_METHOD(Disk, "an index stays as it was until the new one is there, and is then continued from") {
  const std::string out = folder / "out", index = out + "/x.cuclip-index";
  const Arguments arguments = {"index", pictures, "--out", index, "--model", run};
  const auto hour_ago = fs::file_time_type::clock::now() - std::chrono::hours(1);
  for (const auto& file : fs::recursive_directory_iterator(pictures))
    if (file.is_regular_file()) fs::last_write_time(file, hour_ago);
  fs::create_directories(out);
  REQUIRE(run_cuclip(arguments).exit_code == 0);
  const std::string before = read_file(index);
  folder.write("pictures/new.png", bmp_bytes(random_image(9, 9)));
  fs::last_write_time(folder / "pictures/new.png", hour_ago);
  fs::remove(picture(1));
  const SystemFault none{.under = out, .calls = kChanges};
  const std::vector<std::string> calls = calls_of(none, arguments);
  const std::string after = read_file(index);
  REQUIRE(after != before);
  for (const std::string how : {"ENOSPC", "EIO", "kill"}) {
    for (int64_t at = 1; at <= std::ssize(calls); ++at) {
      write_file_atomic(index, before);
      const SystemFault fault{.under = out, .calls = kChanges, .how = how, .failing_call = at};
      const CommandResult result = run_faulty_cuclip(fault, arguments);
      INFO(how << " at " << calls[static_cast<size_t>(at - 1)] << ": " << result.err);
      REQUIRE(result.exit_code == (how == "kill" ? -9 : 1));
      const std::string found = read_file(index);
      REQUIRE((found == before || found == after));
      const CommandResult again = run_cuclip(arguments);
      REQUIRE(again.exit_code == 0);
      REQUIRE(again.out.find(found == before ? " 1 encoded, 7 unchanged" : " 0 encoded, 8 unchanged") !=
              std::string::npos);
      REQUIRE(read_file(index) == after);
    }
  }
}

// What tells open_clip and transformers that the weights are there.
bool can_be_loaded(const std::map<std::string, std::string>& files) {
  return files.contains("model.safetensors") || files.contains("model.safetensors.index.json");
}

TEST_CASE_METHOD(Disk,
                 "a converted folder that is filled again is the old one, the new one, or cannot be loaded") {
  const std::string out = folder / "converted", base = folder / "base";
  const Arguments open_clip = {"convert", "--to", "open_clip", "--out", out, "--model", run};
  const Arguments shards = {"convert", "--to", "hf", "--shard-size", "40KB", "--out", out, "--model", run};
  // Writing goes on beside the places of the files; what matters is when these change.
  const SystemFault places{.under = out, .calls = "rename,unlink", .how = "kill"};
  for (const auto& [first, second] : {std::pair(open_clip, shards), {shards, open_clip}}) {
    fs::remove_all(out);
    fs::remove_all(base);
    REQUIRE(run_cuclip(first).exit_code == 0);
    fs::copy(out, base);
    const int64_t calls = std::ssize(calls_of({.under = out, .calls = places.calls}, second));
    const auto old = contents_of(base), good = contents_of(out);
    REQUIRE(can_be_loaded(old));
    REQUIRE(can_be_loaded(good));
    REQUIRE(old != good);
    int neither = 0;
    for (int64_t at = 1; at <= calls; ++at) {
      INFO("killed at call " << at << " of " << calls);
      fs::remove_all(out);
      fs::copy(base, out);
      SystemFault fault = places;
      fault.failing_call = at;
      REQUIRE(run_faulty_cuclip(fault, second).exit_code == -9);
      auto found = contents_of(out);
      std::erase_if(found, [](const auto& file) { return file.first.find(".tmp-") != std::string::npos; });
      if (can_be_loaded(found)) {
        REQUIRE((found == old || found == good));
      } else {
        ++neither;
      }
      REQUIRE(run_cuclip(second).exit_code == 0);
      found = contents_of(out);
      std::erase_if(found, [](const auto& file) { return file.first.find(".tmp-") != std::string::npos; });
      REQUIRE(found == good);
    }
    REQUIRE(neither > 0);
  }
}

TEST_CASE_METHOD(Disk, "a preparation that failed half-way is not taken for finished") {
  const std::string out = folder / "out", pairs = folder / "pairs";
  const Arguments one = {"data", "prepare",      "--from", pairs,   "--held-out",
                         "1",    "--image-size", "16",     "--out", out};
  Arguments two = one;
  two[5] = "2";
  two.push_back("--force");  // made with other options
  REQUIRE(run_cuclip(one).exit_code == 0);
  const auto good = contents_of(out);
  const SystemFault fault{
      .under = out, .calls = "rename", .how = "EIO", .failing_call = 2};  // one shard is new
  REQUIRE(run_faulty_cuclip(fault, two).exit_code == 1);
  REQUIRE(contents_of(out) != good);
  REQUIRE(run_cuclip(one).exit_code == 0);
  auto again = contents_of(out);
  REQUIRE(again.erase("statistics.json") == 1);
  for (const auto& [name, contents] : again) REQUIRE(contents == good.at(name));
}

TEST_CASE_METHOD(Disk, "an earlier set stays whole until the new one is there") {
  const std::string out = folder / "out", pairs = folder / "pairs";
  const Arguments one = {"data", "prepare",      "--from", pairs,   "--held-out",
                         "1",    "--image-size", "16",     "--out", out};
  Arguments two = one;
  two[5] = "2";
  two.push_back("--force");
  const auto make_first = [&] {
    fs::remove_all(out);
    REQUIRE(run_cuclip(one).exit_code == 0);
    return contents_of(out);
  };
  make_first();
  const std::vector<std::string> calls = calls_of({.under = out, .calls = kChanges}, two);
  const auto first_rename = std::find_if(calls.begin(), calls.end(),
                                         [](const std::string& call) { return call.starts_with("rename"); });
  REQUIRE(first_rename - calls.begin() > 8);  // two shards and statistics.json are written by then
  for (const std::string how : {"ENOSPC", "kill"}) {
    for (int64_t at = 1; at <= first_rename - calls.begin(); ++at) {
      if (is_end_of_spool(calls[static_cast<size_t>(at - 1)]) || !tells_something_new(calls, at)) continue;
      const auto good = make_first();
      const SystemFault fault{.under = out, .calls = kChanges, .how = how, .failing_call = at};
      INFO(how << " at " << calls[static_cast<size_t>(at - 1)]);
      REQUIRE(run_faulty_cuclip(fault, two).exit_code == (how == "kill" ? -9 : 1));
      auto found = contents_of(out);
      std::erase_if(found, [&](const auto& file) {
        return how == "kill" && file.first.find(".tmp-") != std::string::npos;
      });
      REQUIRE(found == good);
    }
  }
}

TEST_CASE("a report replaces an earlier one whole or not at all") {
  const SmallRuns runs;
  const std::string out = runs.folder / "report", run = runs.copy_of_base("run"),
                    data = "synthetic:shapes?size=16&count=12";
  const Arguments arguments = {"report", run, "--train-data", data, "--val-data", data, "--out", out};
  fs::create_directories(out);
  for (const char* name : {"loss.svg", "matrix.svg"}) write_file_atomic(out + "/" + name, "<svg>earlier");
  write_file_atomic(out + "/report.json", "{}");
  const auto earlier = contents_of(out);
  const std::vector<std::string> calls = calls_of({.under = out, .calls = kChanges}, arguments);
  const auto first_rename = std::find_if(calls.begin(), calls.end(),
                                         [](const std::string& call) { return call.starts_with("rename"); });
  REQUIRE(std::count_if(calls.begin(), first_rename,
                        [](const std::string& call) { return call.starts_with("fsync"); }) == 3);
  for (int64_t at = 1; at <= first_rename - calls.begin(); ++at) {
    for (const auto& [name, contents] : earlier) write_file_atomic(out + "/" + name, contents);
    const SystemFault fault{.under = out, .calls = kChanges, .how = "ENOSPC", .failing_call = at};
    const CommandResult result = run_faulty_cuclip(fault, arguments);
    INFO(calls[static_cast<size_t>(at - 1)] << ": " << result.err);
    CHECK(result.exit_code == 1);
    CHECK(contents_of(out) == earlier);
  }
}

TEST_CASE_METHOD(ModelOnDisk, "figures are printed before their drawing, which may not be written") {
  for (const std::string name : {"set/a/1.png", "set/a/2.png", "set/b/1.png", "set/b/2.png"})
    folder.write(name, bmp_bytes(random_image(15, 15)));
  const std::string drawn = folder / "drawn";
  fs::create_directory(drawn);
  for (const std::string measure : {"zero-shot", "probe"}) {
    Arguments arguments = {"eval",    measure, "--data",      folder / "set",
                           "--model", run,     "--confusion", drawn + "/c.svg"};
    if (measure == "probe") arguments.insert(arguments.end(), {"--lambda", "1", "--test-fraction", "0.5"});
    for (const std::string figure : {"top-1", "\"top1\""}) {
      const SystemFault fault{.under = drawn, .calls = "rename", .how = "ENOSPC", .failing_call = 1};
      const CommandResult result = run_faulty_cuclip(fault, arguments);
      INFO(result.err);
      CHECK(result.exit_code == 1);
      CHECK_THAT(result.err, Contains("c.svg") && Contains(reason_of("ENOSPC")));
      CHECK_THAT(result.out, Contains(figure));
      arguments.push_back("--json");
    }
  }
}

}  // namespace
}  // namespace cuclip::test
