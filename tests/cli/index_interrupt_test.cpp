// labels: release_only long
// cuclip index and the signals that end it: what was encoded is saved, and the same command continues.
#include <signal.h>

#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <thread>

#include "core/file_io.h"
#include "models/inference/encode.h"
#include "models/inference/feature_index.h"
#include "tests/support/background_process.h"
#include "tests/support/buffer.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"

namespace cuclip::test {
namespace {

using Catch::Contains;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

constexpr int kPictures = 1600;  // 25 batches

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// Many names of a picture that takes a millisecond to read and to shrink, and that is an hour old.
struct ManyPictures : ModelOnDisk {
  ManyPictures() {
    folder.write("large", bmp_bytes(random_image(400, 300)));
    fs::last_write_time(picture, fs::file_time_type::clock::now() - std::chrono::hours(1));
    fs::create_directory(many);
    add_pictures(0, kPictures);
  }

  void add_pictures(int first, int end) const {
    for (int i = first; i < end; ++i)
      fs::create_symlink(picture, many + "/" + std::to_string(10000 + i) + ".bmp");
  }

  Arguments indexing(const std::string& out) const {
    return {"index", many, "--out", out, "--model", run, "--device", "cpu"};
  }
  Arguments command_line(const std::string& out) const {
    Arguments all = indexing(out);
    all.insert(all.begin(), cuclip_executable());
    return all;
  }
  FeatureIndex load(const std::string& file) { return load_index(context, file); }
  // The names, the files and, to roundings of unit vectors, the features: in which batch a picture is depends
  // on what was there before.
  void check_same(const std::string& file, const std::string& expected) {
    const FeatureIndex ours = load(file), theirs = load(expected);
    REQUIRE(ours.names == theirs.names);
    CHECK(ours.files == theirs.files);
    CHECK(ours.missing == 0);
    const std::vector<float> a = ours.features.to_floats(), b = theirs.features.to_floats();
    for (size_t i = 0; i < a.size(); ++i) REQUIRE(a[i] == Approx(b[i]).margin(1e-5));
  }
  // All have the same contents: what is not done yet may be found in what is.
  void check_continues(int64_t done) const {
    Arguments arguments = indexing(index);
    arguments.emplace_back("--json");
    const auto json = nlohmann::json::parse(run_cuclip(arguments).out);
    CHECK(json["unchanged"] == done);
    CHECK(json["encoded"].get<int64_t>() + json["moved"].get<int64_t>() ==
          json["pictures"].get<int64_t>() - done);
  }
  size_t temporary_files() const {
    size_t count = 0;
    for (const auto& entry : fs::directory_iterator(folder.path()))
      count += entry.path().filename().string().find(".tmp-") != std::string::npos;
    return count;
  }

  Context context{1};
  fs::path picture = folder / "large";
  std::string many = folder / "many", calm = folder / "calm", index = folder / "i.cuclip-index";
};

TEST_CASE_METHOD(ManyPictures,
                 "whenever indexing is interrupted, what was done is kept and is continued from") {
  const auto start = std::chrono::steady_clock::now();
  BackgroundProcess undisturbed(command_line(calm));
  REQUIRE(undisturbed.result().exit_code == 0);
  std::uniform_real_distribution<double> moment(0, 0.7 * seconds_since(start));
  int64_t done = 0, saved = 0, finished = 0;
  for (int i = 0; i < 12; ++i) {
    const int signal = std::array{SIGINT, SIGTERM, SIGHUP, SIGKILL}[static_cast<size_t>(i % 4)];
    const double seconds = moment(rng());
    BackgroundProcess process(command_line(index));
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    process.signal(signal);
    const CommandResult result = process.result();
    INFO("round " << i << ", signal " << signal << " after " << seconds << " s: " << result.err);
    // A process that has not come to main yet ends in the system's way.
    REQUIRE((result.exit_code == 0 || result.exit_code == 128 + signal || result.exit_code == -signal));
    if (!path_exists(index)) continue;
    const FeatureIndex part = load(index);
    const auto found = std::ssize(part.names);
    CHECK(found >= done);  // nothing is lost, not even by SIGKILL
    CHECK(found + part.missing == kPictures);
    if (result.exit_code == 0) CHECK(part.missing == 0);
    if (result.err.find("is saved") != std::string::npos) {
      CHECK(found > done);
      CHECK_THAT(result.err, Contains(fmt::format("{} is saved, {} of {} picture", index, found - done,
                                                  kPictures - done)) &&
                                 Contains("the same command continues"));
      ++saved;
    }
    done = found;
    if (part.missing > 0) {
      CHECK_THAT(run_cuclip({"search", index, "a"}).err,
                 Contains(fmt::format("without {} picture", part.missing)));
    } else if (++finished == 2) {  // once more when it is whole: it stays so
      fs::remove(index);
      done = finished = 0;
    }
  }
  CHECK(saved > 0);               // or nothing was tried
  CHECK(temporary_files() == 0);  // no SIGKILL hit a write, which is tried elsewhere
  check_continues(done);
  check_same(index, calm);
}

TEST_CASE_METHOD(ManyPictures, "an index that another process finished meanwhile is never replaced by less") {
  const auto start = std::chrono::steady_clock::now();
  REQUIRE(run_cuclip(indexing(index)).exit_code == 0);
  std::uniform_real_distribution<double> moment(0.2, 0.8 * seconds_since(start));
  int refused = 0;
  for (int i = 0; i < 6; ++i) {
    fs::remove(index);
    BackgroundProcess process(command_line(index));
    std::this_thread::sleep_for(std::chrono::duration<double>(moment(rng())));
    process.signal(SIGSTOP);
    REQUIRE(run_cuclip(indexing(index)).exit_code == 0);
    process.signal(SIGCONT);
    process.signal(SIGINT);
    const CommandResult result = process.result();
    INFO("round " << i << ": " << result.err);
    CHECK(load(index).missing == 0);
    refused += result.err.find("was changed by another process") != std::string::npos;
  }
  CHECK(refused > 0);  // or nothing was tried
}

TEST_CASE_METHOD(ManyPictures, "before anything is encoded a signal leaves an earlier index as it is") {
  REQUIRE(run_cuclip({"index", pictures, "--out", index, "--model", run}).exit_code == 0);
  const std::string before = read_file(index);
  BackgroundProcess process(command_line(index));
  const fs::path program = fs::canonical(cuclip_executable());
  process.wait_while_running_until("become cuclip", [&] {
    std::error_code not_yet;
    return fs::read_symlink(fmt::format("/proc/{}/exe", process.pid()), not_yet) == program;
  });
  process.signal(SIGINT);  // it has not even found its libraries
  const CommandResult result = process.result();
  INFO(result.err);
  CHECK((result.exit_code == -SIGINT || result.exit_code == 130));
  CHECK(read_file(index) == before);
}

TEST_CASE_METHOD(ManyPictures, "SIGKILL costs half a minute's work at most") {
  add_pictures(kPictures, 5 * kPictures);  // it must not end by itself
  BackgroundProcess process(command_line(index));
  process.wait_while_running_until("computed", [&] { return process.processor_seconds() > 0.3; });
  process.signal(SIGSTOP);
  CHECK_FALSE(path_exists(index));
  std::this_thread::sleep_for(std::chrono::seconds(31));  // the clock goes on, and nobody computes
  process.signal(SIGCONT);
  process.wait_while_running_until("saved", [&] { return path_exists(index); });
  process.signal(SIGKILL);
  REQUIRE(process.result().exit_code == -SIGKILL);
  const FeatureIndex part = load(index);
  CHECK(std::ssize(part.names) >= kPictureBatch);
  CHECK(part.missing == 5 * kPictures - std::ssize(part.names));
  check_continues(std::ssize(part.names));
}

}  // namespace
}  // namespace cuclip::test
