// Safetensors::parse on arbitrary bytes: tensors that cover the file's data exactly, or InputError.
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels/common/check.h"
#include "models/files/safetensors.h"

namespace {

void check(std::span<const std::byte> bytes) {
  size_t covered = 0;
  try {
    const cuclip::Safetensors file = cuclip::Safetensors::parse(bytes, "input");
    for (const auto& [name, entry] : file.tensors()) {
      if (!entry.data.empty() && (entry.data.data() < bytes.data() ||
                                  entry.data.data() + entry.data.size() > bytes.data() + bytes.size()))
        std::abort();
      covered += entry.data.size();
      // No element is smaller than a byte.
      if (entry.elements() > static_cast<int64_t>(entry.data.size())) std::abort();
      std::vector<float> values(static_cast<size_t>(entry.elements()));
      try {
        cuclip::copy_to_f32(entry, name, values);
      } catch (const cuclip::InputError&) {
      }
    }
    uint64_t header = 0;
    std::memcpy(&header, bytes.data(), 8);
    if (covered != bytes.size() - 8 - header) std::abort();
  } catch (const cuclip::InputError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::vector<uint8_t> file(data, data + size);
  check(std::as_bytes(std::span<const uint8_t>(file)));
  // Again with the header's length where its last brace is: without this hardly any mutation of the header
  // would get beyond it.
  size_t end = file.size();
  while (end > 8 && file[end - 1] != '}') --end;
  if (end <= 8) return 0;
  const uint64_t header = end - 8;
  std::memcpy(file.data(), &header, 8);
  check(std::as_bytes(std::span<const uint8_t>(file)));
  return 0;
}
