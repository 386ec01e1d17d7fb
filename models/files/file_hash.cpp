#include "models/files/file_hash.h"

#include <fmt/format.h>
#include <xxhash.h>

#include <memory>
#include <vector>

#include "core/input_file.h"

namespace cuclip {

std::string file_hash(const std::filesystem::path& path) {
  const InputFile file(path);
  const std::unique_ptr<XXH3_state_t, decltype(&XXH3_freeState)> state(XXH3_createState(), &XXH3_freeState);
  XXH3_64bits_reset(state.get());
  std::vector<char> piece(1 << 20);
  int64_t at = 0;
  while (const size_t bytes = file.read_at(at, piece)) {
    XXH3_64bits_update(state.get(), piece.data(), bytes);
    at += static_cast<int64_t>(bytes);
  }
  return fmt::format("{:016x}", XXH3_64bits_digest(state.get()));
}

}  // namespace cuclip
