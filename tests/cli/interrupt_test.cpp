// labels: release_only long
// The executable and the signals that end it: nothing that was computed is lost, and nothing half written
// stays.
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utmp.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <chrono>
#include <random>
#include <thread>
#include <utility>

#include "core/file_io.h"
#include "models/inference/checkpoint_folders.h"
#include "tests/support/background_process.h"
#include "tests/support/buffer.h"
#include "tests/support/model_on_disk.h"
#include "tests/support/paths.h"
#include "train/loop/checkpoint.h"

using namespace cuclip;
using test::BackgroundProcess;
using test::TemporaryFolder;
namespace fs = std::filesystem;
using Arguments = std::vector<std::string>;

namespace {

constexpr const char* kNothing = "interrupted before the first step: there was nothing to save";
const Arguments kSmall = {"--model",  "cuclip-tiny", "--batch-size", "32",
                          "--device", "cpu",         "--threads",    "2"};
const Arguments kShapes = {"--train-data", "synthetic:shapes?size=32&count=256"};

Arguments operator+(Arguments left, const Arguments& right) {
  left.insert(left.end(), right.begin(), right.end());
  return left;
}

Arguments command_line(const Arguments& arguments) {
  return Arguments{test::cuclip_executable()} + arguments;
}

Arguments training(const fs::path& out, const Arguments& more) {
  return command_line(Arguments{"train", "--out", out.string()} + kSmall + more);
}

// A run that does not end by itself.
Arguments endless(const fs::path& out, const Arguments& more = {}) {
  return training(out, kShapes + Arguments{"--epochs", "100000", "--log-every-n-steps", "1"} + more);
}

// The step of the newest checkpoint, which must be whole and be that of the newest step that was logged.
int64_t saved_step(const fs::path& run) {
  std::vector<std::string> notes;
  const auto checkpoint = latest_checkpoint(run, notes);
  REQUIRE(checkpoint.has_value());
  REQUIRE(notes.empty());
  for (const auto& entry : fs::directory_iterator(run / "checkpoints")) {
    INFO(entry.path().string());
    CHECK_FALSE(entry.path().extension() == ".partial");
  }
  return read_train_state(*checkpoint).step;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::recursive_directory_iterator(folder))
    names.push_back(entry.path().lexically_relative(folder));
  std::sort(names.begin(), names.end());
  return names;
}

// A pipe that nobody ever writes into.
class SilentPipe {
 public:
  explicit SilentPipe(std::string path) : path_(std::move(path)) {
    REQUIRE(::mkfifo(path_.c_str(), 0600) == 0);
  }
  ~SilentPipe() { ::close(writer_); }
  SilentPipe(const SilentPipe&) = delete;
  SilentPipe& operator=(const SilentPipe&) = delete;

  const std::string& path() const { return path_; }
  /// Returns when the process reads from it, and so waits.
  void wait_for_reader(BackgroundProcess& process) {
    ::close(std::exchange(writer_, -1));
    process.wait_while_running_until("read " + path_, [this] {
      writer_ = ::open(path_.c_str(), O_WRONLY | O_NONBLOCK);
      return writer_ >= 0;
    });
  }

 private:
  std::string path_;
  int writer_ = -1;
};

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace

TEST_CASE("Ctrl-C at any moment exits with 130 and a checkpoint that loads, or says that there was nothing") {
  const TemporaryFolder folder;
  const Arguments settings =
      kShapes + Arguments{"--epochs", "4",          "--log-every-n-steps",
                          "1",        "--val-data", "synthetic:shapes?size=32&count=32&split=val"};
  const auto start = std::chrono::steady_clock::now();
  BackgroundProcess calm(training(folder / "calm", settings));
  REQUIRE(calm.result().exit_code == 0);
  std::uniform_real_distribution<double> moment(0, 1.1 * seconds_since(start));
  int nothing = 0, saved = 0, finished = 0;
  for (int i = 0; i < 50; ++i) {
    const fs::path run = folder / ("run" + std::to_string(i));
    const double seconds = moment(test::rng());
    BackgroundProcess process(training(run, settings));
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    process.signal(SIGINT);
    const auto result = process.result();
    INFO("run " << i << ", after " << seconds << " s: " << result.err);
    if (result.exit_code == 0) {
      CHECK(saved_step(run) == 32);
      ++finished;
      continue;
    }
    // A process that has not come to main yet ends in the system's way; one that has not come to the command
    // yet has not made anything either, and has nothing to say about it.
    REQUIRE((result.exit_code == 130 || (result.exit_code == -SIGINT && result.err.empty())));
    if (result.exit_code == -SIGINT || result.err == "cuclip: interrupted\n" ||
        result.err.find(kNothing) != std::string::npos) {
      CHECK_FALSE(fs::exists(run / "latest"));
      CHECK_FALSE(fs::exists(run / "metrics.jsonl"));
      ++nothing;
      continue;
    }
    const int64_t step = saved_step(run);
    CHECK_THAT(result.err, Catch::Contains("step " + std::to_string(step) + " is saved"));
    CHECK(test::run_cuclip({"encode", "text", "a circle", "--out", (run / "features.npy").string(), "--model",
                            run.string()})
              .exit_code == 0);
    if (++saved % 8 != 0) continue;
    // On to the end, as if nothing had happened.
    BackgroundProcess resumed(training(run, settings + Arguments{"--resume", "latest"}));
    REQUIRE(resumed.result().exit_code == 0);
    CHECK(read_file(run / "checkpoints/step-32/model.safetensors") ==
          read_file(folder / "calm/checkpoints/step-32/model.safetensors"));
  }
  CHECK(saved > 0);  // or nothing was tried
  WARN("of 50: " << nothing << " before the first step, " << saved << " saved, " << finished << " finished");
}

TEST_CASE("a signal ends the preparations of a run immediately") {
  const TemporaryFolder folder;
  const auto [signal, code] =
      GENERATE(std::pair{SIGINT, 130}, std::pair{SIGTERM, 143}, std::pair{SIGHUP, 129});
  // A million captions: nobody waits for the end of it.
  BackgroundProcess learning(
      training(folder / "a", {"--train-data", "synthetic:shapes?size=32&count=1000000"}));
  learning.wait_until_said("learning a vocabulary");
  learning.signal(signal);
  const auto result = learning.result();
  CHECK(result.exit_code == code);
  CHECK_THAT(result.err, Catch::Contains(kNothing));
}

TEST_CASE("a signal during an evaluation leaves it out and saves the step before it") {
  const TemporaryFolder folder;
  // Thousands of batches: nobody waits for the end of it.
  BackgroundProcess process(
      endless(folder / "run", {"--eval-every-steps", "2", "--save-frequency", "0", "--val-data",
                               "synthetic:shapes?size=32&count=20000&split=val"}));
  process.wait_until_said("step 2/");
  process.signal(SIGTERM);
  const auto result = process.result();
  INFO(result.err);
  CHECK(result.exit_code == 143);
  CHECK_THAT(result.err, Catch::Contains("step 2: the evaluation was interrupted"));
  CHECK(saved_step(folder / "run") == 2);
  CHECK_FALSE(fs::exists(folder / "run/eval.jsonl"));
}

TEST_CASE("Ctrl-C that is held down loses nothing") {
  const TemporaryFolder folder;
  for (int i = 0; i < 3; ++i) {
    const fs::path run = folder / ("run" + std::to_string(i));
    BackgroundProcess process(endless(run));
    process.wait_until_said("step 2/");
    while (!process.ended()) {
      process.signal(SIGINT);
      process.signal(SIGTERM);
      std::this_thread::sleep_for(std::chrono::microseconds(500));
    }
    const auto result = process.result();
    INFO(result.err);
    CHECK((result.exit_code == 130 || result.exit_code == 143));  // whichever is taken first
    const int64_t step = saved_step(run);
    CHECK(step >= 2);
    CHECK_THAT(result.err, Catch::Contains("step " + std::to_string(step) + " is saved"));
  }
}

TEST_CASE("SIGHUP saves like SIGTERM, but not under nohup; a signal that the parent ignored stays ignored") {
  const TemporaryFolder folder;
  BackgroundProcess hung_up(endless(folder / "a"));
  BackgroundProcess nohup(endless(folder / "b"), [] {
    ::signal(SIGHUP, SIG_IGN);
    ::signal(SIGTERM, SIG_IGN);
  });
  // What a shell without job control does to a command in the background; `kill -INT` is still obeyed.
  BackgroundProcess background(endless(folder / "c"), [] { ::signal(SIGINT, SIG_IGN); });
  for (BackgroundProcess* process : {&hung_up, &nohup, &background}) process->wait_until_said("step 1/");
  for (BackgroundProcess* process : {&hung_up, &nohup}) process->signal(SIGHUP);
  CHECK(hung_up.result().exit_code == 129);
  CHECK(saved_step(folder / "a") >= 1);
  nohup.signal(SIGTERM);
  background.signal(SIGINT);
  CHECK(background.result().exit_code == 130);
  const std::string before = nohup.said();
  nohup.wait_until_said(before + "step ");  // it continues
  CHECK_THAT(nohup.said(), !Catch::Contains("interrupted"));
  nohup.signal(SIGINT);
  CHECK(nohup.result().exit_code == 130);
}

TEST_CASE("the keyboard's Ctrl-C and the end of the terminal") {
  const TemporaryFolder folder;
  struct Terminal {
    Terminal() {
      REQUIRE(::openpty(&keyboard, &screen, nullptr, nullptr, nullptr) == 0);
      for (const int end : {keyboard, screen})
        ::fcntl(end, F_SETFD, FD_CLOEXEC);  // nobody else holds it open
    }
    ~Terminal() {
      if (keyboard >= 0) ::close(keyboard);
      ::close(screen);
    }
    void press_ctrl_c() const { REQUIRE(::write(keyboard, "\x03", 1) == 1); }
    void close() { ::close(std::exchange(keyboard, -1)); }
    int keyboard = -1, screen = -1;
  };
  Terminal terminal, other, third;
  // The program's terminal is the controlling one of a session of its own.
  BackgroundProcess in_front(endless(folder / "a"), [&] { ::login_tty(::dup(terminal.screen)); });
  BackgroundProcess in_background(endless(folder / "b"), [&] {
    ::login_tty(::dup(other.screen));
    ::signal(SIGINT, SIG_IGN);
  });
  BackgroundProcess closed(endless(folder / "c"), [&] { ::login_tty(::dup(third.screen)); });
  for (BackgroundProcess* process : {&in_front, &in_background, &closed}) process->wait_until_said("step 1/");
  terminal.press_ctrl_c();
  CHECK(in_front.result().exit_code == 130);
  CHECK(saved_step(folder / "a") >= 1);
  other.press_ctrl_c();
  third.close();
  CHECK(closed.result().exit_code == 129);
  CHECK(saved_step(folder / "c") >= 1);
  const std::string before = in_background.said();
  in_background.wait_until_said(before + "step ");
  CHECK_THAT(in_background.said(), !Catch::Contains("interrupted"));
}

TEST_CASE("other commands end immediately and leave nothing half written") {
  const test::ModelOnDisk disk;
  SilentPipe pipe(disk.folder / "pipe");
  const std::string index = disk.folder / "index", out = disk.folder / "out";
  REQUIRE(disk.cuclip({"index", disk.pictures, "--out", index}).exit_code == 0);
  fs::create_directory(out);
  const std::vector<std::string> before = names_in(disk.folder.path());
  const Arguments model = {"--model", disk.run, "--device", "cpu"};
  for (const Arguments& arguments :
       {Arguments{"encode", "image", disk.picture(0), pipe.path(), "--out", out + "/a.npy"} + model,
        Arguments{"encode", "text", "--texts-file", pipe.path(), "--out", out + "/a.npy"} + model,
        Arguments{"search", index, "--image", pipe.path(), "--contact-sheet", out + "/a.png"} + model,
        Arguments{"search", index, "--image", pipe.path(), "--html", out + "/a.html"} + model,
        Arguments{"classify", pipe.path(), "--labels", "a,b"} + model}) {
    INFO(arguments[0] << " " << arguments[1]);
    BackgroundProcess process(command_line(arguments));
    pipe.wait_for_reader(process);
    process.signal(SIGINT);
    const auto result = process.result();
    CHECK(result.exit_code == 130);
    CHECK(result.err == "cuclip: interrupted\n");
    CHECK(names_in(disk.folder.path()) == before);
  }
  // In the middle of pictures without end.
  for (const Arguments& arguments :
       {Arguments{"index", "synthetic:shapes?size=32&count=20000000", "--out", out + "/a"} + model,
        Arguments{"eval", "retrieval", "--data", "synthetic:shapes?size=32&count=1000000"} + model,
        Arguments{"data", "stats", "synthetic:shapes?size=32&count=20000000"}}) {
    INFO(arguments[0] << " " << arguments[1]);
    BackgroundProcess process(command_line(arguments));
    process.wait_while_running_until("computed", [&] { return process.processor_seconds() > 0.5; });
    process.signal(SIGTERM);
    const auto result = process.result();
    CHECK(result.exit_code == 143);
    CHECK_THAT(result.err, Catch::Contains("cuclip: interrupted"));
    CHECK(names_in(disk.folder.path()) == before);
  }
}

TEST_CASE("a signal ends a command although nobody reads what it says") {
  const test::ModelOnDisk disk;
  int ends[2];
  REQUIRE(::pipe2(ends, O_NONBLOCK | O_CLOEXEC) == 0);
  while (::write(ends[1], "full", 4) > 0) continue;
  REQUIRE(::fcntl(ends[1], F_SETFL, 0) == 0);  // the command's writes would wait
  const Arguments shell = {"/bin/bash", "-c", "exec \"$0\" \"$@\" 2>&9"};
  SilentPipe pipe(disk.folder / "pipe");
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) {
    BackgroundProcess process(
        shell + command_line({"encode", "text", "--texts-file", pipe.path(), "--out", disk.folder / "a.npy",
                              "--model", disk.run, "--device", "cpu"}),
        [&] { ::dup2(ends[1], 9); });
    pipe.wait_for_reader(process);
    process.signal(signal);
    CHECK(process.result().exit_code == 128 + signal);
  }
  for (const int end : ends) ::close(end);
}
