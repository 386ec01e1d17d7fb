// Configurations from arbitrary bytes: a model's JSON as open_clip and as transformers write it, and a run's
// TOML. Each is read, and what was read is written and read again to the same, or InputError.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "kernels/common/check.h"
#include "models/clip/clip_config.h"
#include "models/clip/hf_config.h"
#include "train/cli/config_file.h"

namespace {

void check_open_clip(std::string_view text) {
  try {
    const cuclip::ClipConfig config = cuclip::parse_clip_config(text, "input");
    if (cuclip::parse_clip_config(cuclip::clip_config_json(config), "written") != config) std::abort();
  } catch (const cuclip::InputError&) {
  }
}

// The same text stands for the preprocessor's file.
void check_hugging_face(std::string_view text) {
  try {
    const cuclip::ClipConfig config = cuclip::parse_hf_config(text, text, "input");
    if (cuclip::parse_clip_config(cuclip::clip_config_json(config), "written") != config) std::abort();
    const cuclip::ClipConfig again = cuclip::parse_hf_config(cuclip::hf_config_json(config), "", "written");
    if (again.text != config.text || again.vision != config.vision || again.embed_dim != config.embed_dim)
      std::abort();
  } catch (const cuclip::InputError&) {
  }
}

// A file in memory: apply_config_file() takes a path.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view contents) : fd_(::memfd_create("input", 0)) {
    if (fd_ < 0 || ::write(fd_, contents.data(), contents.size()) != std::ssize(contents)) std::abort();
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  std::string path() const { return "/proc/self/fd/" + std::to_string(fd_); }

 private:
  int fd_;
};

cuclip::TrainConfig read_toml(std::string_view text) {
  cuclip::TrainConfig config;
  const auto given = [](const cuclip::Setting&) { return false; };
  cuclip::apply_config_file(MemoryFile(text).path(), given, config);
  return config;
}

void check_toml(std::string_view text) {
  cuclip::TrainConfig config;
  try {
    config = read_toml(text);
  } catch (const cuclip::InputError&) {
    return;
  }
  const std::string written = cuclip::config_toml(config);
  if (cuclip::config_toml(read_toml(written)) != written) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  check_open_clip(input);
  check_hugging_face(input);
  check_toml(input);
  return 0;
}
