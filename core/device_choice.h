// Which device a program runs on, by name.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "core/words.h"
#include "kernels/common/current_gpu.h"
#include "kernels/common/device.h"

namespace cuclip {

/// "auto", the GPU if there is one that can be used; "cpu"; "cuda"; "cuda:1", the GPU of this number.
struct DeviceChoice {
  enum class Kind : uint8_t { automatic, cpu, cuda };
  Kind kind = Kind::automatic;
  int gpu = kCurrentGpu;  // of Kind::cuda
  bool operator==(const DeviceChoice&) const = default;

  static const DeviceChoice automatic, cpu, cuda;
};
inline constexpr DeviceChoice DeviceChoice::automatic{Kind::automatic};
inline constexpr DeviceChoice DeviceChoice::cpu{Kind::cpu};
inline constexpr DeviceChoice DeviceChoice::cuda{Kind::cuda};
template <>
inline constexpr std::array<std::string_view, 3> kWords<DeviceChoice::Kind>{"auto", "cpu", "cuda"};

inline constexpr const char* kDeviceHelp = "auto, cpu, cuda, or cuda:N, the GPU of this number";

/// The choice that a word stands for. Throws InputError, which says what `name` must be and what it is.
DeviceChoice parse_device(std::string_view name, std::string_view text);
/// The word for it.
std::string to_text(const DeviceChoice& choice);

/// The device that is meant. Where that is a GPU by its number, it becomes the calling thread's current one
/// (current_gpu.h). Throws InputError, which says what is missing, for a GPU that cannot be used.
Device choose_device(const DeviceChoice& choice);

}  // namespace cuclip
