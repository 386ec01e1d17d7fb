// Functions that the driver provides to device code: vprintf, __assertfail, malloc, free.
#pragma once

#include "engine/machine.h"

namespace emu {

/// Arguments and results are .param variables of the caller's frame, listed in inst.list (see
/// ops_control.cpp).
using Builtin = void (*)(Warp&, const Inst&, u32 mask);

/// Null for a function that is not provided.
Builtin find_builtin(std::string_view name);

}  // namespace emu
