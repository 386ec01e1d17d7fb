// Which device a program runs on, by name.
#pragma once

#include <string_view>

#include "kernels/common/device.h"

namespace cuclip {

/// "cpu"; "cuda", an InputError that says what is missing where there is no GPU to use; or "auto": the GPU if
/// there is one that can be used.
Device choose_device(std::string_view name);

}  // namespace cuclip
