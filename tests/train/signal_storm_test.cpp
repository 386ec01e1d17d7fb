// labels: release_only long
// A program's own signal handlers run while the library trains, encodes and searches: nothing crashes, and
// not one bit changes. Each run is a process of its own, so that one that dies is counted.
#include <poll.h>
#include <signal.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>
#include <xxhash.h>

#include <atomic>
#include <bit>
#include <catch2/catch.hpp>
#include <filesystem>
#include <optional>
#include <thread>

#include "core/file_io.h"
#include "models/inference/encode.h"
#include "models/inference/feature_index.h"
#include "tests/support/command.h"
#include "tests/support/tiny_model.h"
#include "tests/support/wide_model.h"
#include "train/loop/trainer.h"

using namespace cuclip;
namespace fs = std::filesystem;

namespace {

constexpr int kRuns = 20;
constexpr int kPatience = 30'000;  // ms; a run takes 0.1 s, but a damaged heap may also wait for itself

struct Outcome {
  uint64_t bits = 0;  // hash of the result
  int64_t handled = 0;
};

std::atomic<int64_t> g_handled{0};

// On the stack of whatever thread takes the signal; without SA_RESTART, so that calls are interrupted too.
void install_handlers() {
  for (const int signal : {SIGSEGV, SIGABRT}) ::signal(signal, SIG_DFL);  // not Catch's
  struct sigaction action {};
  action.sa_handler = [](int) { ++g_handled; };
  for (const int signal : {SIGALRM, SIGUSR1}) ::sigaction(signal, &action, nullptr);
}

void start_timer(int per_second) {
  const timeval interval{.tv_sec = 0, .tv_usec = 1'000'000 / per_second};
  const itimerval timer{.it_interval = interval, .it_value = interval};
  ::setitimer(ITIMER_REAL, &timer, nullptr);
}

// What a profiler and a daemon do: a signal to each thread of the process, the library's among them, and
// setuid() and its like, which interrupt every thread by the C library's own signal.
void signal_every_thread() {
  for (const auto& entry : fs::directory_iterator("/proc/self/task")) {
    ::tgkill(::getpid(), std::stoi(entry.path().filename().string()), SIGUSR1);
  }
  (void)!::setresuid(static_cast<uid_t>(-1), static_cast<uid_t>(-1), static_cast<uid_t>(-1));
}

[[noreturn]] void storm_of_signals(int per_second) {
  for (;;) {
    signal_every_thread();
    ::usleep(static_cast<useconds_t>(1'000'000 / per_second));
  }
}

uint64_t hash_of(const Tensor& tensor) {
  const std::vector<float> values = tensor.to_floats();
  return XXH3_64bits(values.data(), values.size() * sizeof(float));
}

uint64_t train(DType dtype) {
  test::TemporaryFolder folder;
  TrainConfig config;
  config.model = folder.write("model.json", test::kWideModel);
  config.train_data = "synthetic:shapes?size=32&count=64";
  config.batch_size = 32;
  config.epochs = 2;
  config.precision = dtype == DType::bf16 ? Precision::bf16 : Precision::fp32;
  config.threads = 2;
  config.device = DeviceChoice::cpu;
  config.out = (folder / "run").string();
  Trainer(config, "").run([] { return 0; });
  const std::string weights = read_file(folder / "run/checkpoints/step-4/model.safetensors");
  return XXH3_64bits(weights.data(), weights.size());
}

Tensor some_texts(const ClipModel& model, int count) {
  std::vector<std::string> texts;
  for (int i = 0; i < count; ++i) texts.push_back("a text of number " + std::to_string(i));
  return encode_texts(model, test::tiny_tokenizer(), texts);
}

uint64_t encode(DType dtype) {
  const test::TemporaryFolder folder;
  Context context(2);
  ClipModel model(context, load_clip_config(folder.write("model.json", test::kWideModel)), {.dtype = dtype});
  model.initialise(3);
  const auto edge = static_cast<size_t>(model.config().vision.image_size);
  std::vector<uint8_t> pictures(192 * edge * edge * 3);
  for (size_t i = 0; i < pictures.size(); ++i) pictures[i] = static_cast<uint8_t>(i * i >> 7);
  return hash_of(encode_pixels(model, pictures)) ^ hash_of(some_texts(model, 96));
}

// An index is searched in f32; the words' features come from a model of either.
uint64_t search(DType dtype) {
  const test::TemporaryFolder folder;
  Context context(2);
  ClipModel model(context, load_clip_config(folder.write("model.json", test::kWideModel)), {.dtype = dtype});
  model.initialise(3);
  const int64_t pictures = 4000, width = model.config().embed_dim;
  std::vector<float> features(static_cast<size_t>(pictures * width));
  for (size_t i = 0; i < features.size(); ++i)
    features[i] = static_cast<float>(i * i % 1013) / 1013.0f - 0.5f;
  FeatureIndex index;
  index.features = Tensor::from<float>(context, {pictures, width}, features);
  const Tensor queries = some_texts(model, 40);
  uint64_t bits = 0;
  for (int64_t query = 0; query < queries.size(0); ++query) {
    for (const Hit& hit : search_index(context, index, queries.rows(query, 1), 10)) {
      bits = bits * 31 + static_cast<uint64_t>(hit.row) + std::bit_cast<uint32_t>(hit.similarity);
    }
  }
  return bits;
}

// What a run does, and which code does it: oneDNN's for AVX2 has the fault, and runs on every machine here.
struct Scenario {
  std::string name;
  uint64_t (*work)(DType);
  DType dtype;
  const char* instructions;  // the most that oneDNN may use
};

// In a process of its own, with this many signals per second of each kind, or none. Empty if it dies.
std::optional<Outcome> run(const Scenario& scenario, int per_second) {
  int ends[2];
  REQUIRE(::pipe(ends) == 0);
  const pid_t child = ::fork();
  if (child == 0) {
    ::setenv("ONEDNN_MAX_CPU_ISA", scenario.instructions, 1);
    (void)!::freopen("/dev/null", "w", stderr);
    install_handlers();
    if (per_second > 0) {
      start_timer(per_second);
      std::thread(storm_of_signals, per_second).detach();
    }
    const uint64_t bits = scenario.work(scenario.dtype);
    const Outcome outcome{.bits = bits, .handled = g_handled};
    ::_exit(::write(ends[1], &outcome, sizeof(outcome)) == sizeof(outcome) ? 0 : 1);
  }
  ::close(ends[1]);
  Outcome outcome;
  pollfd answer{.fd = ends[0], .events = POLLIN, .revents = 0};
  const bool told =
      ::poll(&answer, 1, kPatience) == 1 && ::read(ends[0], &outcome, sizeof(outcome)) == sizeof(outcome);
  ::close(ends[0]);
  if (!told) ::kill(child, SIGKILL);
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  if (!told || !WIFEXITED(status) || WEXITSTATUS(status) != 0) return std::nullopt;
  return outcome;
}

// What oneDNN would use beyond AVX2.
bool has_more_than_avx2() {
  return __builtin_cpu_supports("avx512f") != 0 || __builtin_cpu_supports("avxvnni") != 0;
}

void weather(const Scenario& scenario, std::initializer_list<int> signals_per_second) {
  const std::optional<Outcome> calm = run(scenario, 0);
  REQUIRE(calm.has_value());
  for (const int per_second : signals_per_second) {
    int died = 0, differed = 0;
    int64_t handled = 0;
    for (int i = 0; i < kRuns; ++i) {
      const std::optional<Outcome> outcome = run(scenario, per_second);
      died += !outcome;
      differed += outcome && outcome->bits != calm->bits;
      handled += outcome ? outcome->handled : 0;
    }
    CAPTURE(scenario.name, name_of(scenario.dtype), scenario.instructions, per_second, kRuns, handled);
    CHECK(died == 0);
    CHECK(differed == 0);
    CHECK((handled > kRuns || died > 0));  // or nothing was tried
  }
}

}  // namespace

TEST_CASE("handlers that run 500 and 5000 times a second crash nothing and change no bit") {
  // Below AVX-512 bf16 is widened and multiplied as f32.
  for (const DType dtype : {DType::f32, DType::bf16}) {
    weather({"train", train, dtype, "AVX2"}, {500, 5000});
    weather({"encode", encode, dtype, "AVX2"}, {500, 5000});
    weather({"search", search, dtype, "AVX2"}, {500, 5000});
    // The code for whatever this processor has, where that is more.
    if (!has_more_than_avx2()) continue;
    weather({"train", train, dtype, "ALL"}, {5000});
    weather({"encode", encode, dtype, "ALL"}, {5000});
    weather({"search", search, dtype, "ALL"}, {5000});
  }
}
