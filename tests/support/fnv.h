// FNV-1a 64: stands for bytes that were recorded from another program (tests/tools/record_*.py).
#pragma once

#include <cstdint>
#include <span>

namespace cuclip::test {

inline uint64_t fnv1a(std::span<const uint8_t> bytes) {
  uint64_t hash = 0xcbf29ce484222325u;
  for (uint8_t byte : bytes) hash = (hash ^ byte) * 0x100000001b3u;
  return hash;
}

}  // namespace cuclip::test
