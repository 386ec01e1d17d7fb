// Which device a program runs on, by name.
#pragma once

#include <array>
#include <string_view>

#include "core/words.h"
#include "kernels/common/device.h"

namespace cuclip {

/// `automatic`: the GPU if there is one that can be used.
enum class DeviceChoice { automatic, cpu, cuda };
template <>
inline constexpr std::array<std::string_view, 3> kWords<DeviceChoice>{"auto", "cpu", "cuda"};

/// The device that is meant. Throws InputError, which says what is missing, for `cuda` where there is no GPU
/// to use.
Device choose_device(DeviceChoice choice);

}  // namespace cuclip
