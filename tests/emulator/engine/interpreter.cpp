// The inner loop.
#include "engine/launch.h"

namespace emu {
namespace {

template <bool kWatched>
void run(Warp& w) {
  Watcher* const watcher = w.launch->watcher;
  const bool steps = kWatched && watcher->wants_steps();
  while (w.stop == kRun && w.fuel > 0) {
    const Inst& in = *w.pc++;
    --w.fuel;
    u32 mask = w.active;
    if (in.guard != kNone) {
      mask &= *reinterpret_cast<const u32*>(w.base[kRegisters] + in.guard) ^ in.guard_flip;
      if (mask == 0 && !(kWatched && w.frame->any_undefined)) continue;
    }
    if constexpr (kWatched) {
      if (w.frame->any_undefined) watcher->undefined_step(w, in, mask);
      if (mask == 0) continue;
      if (steps) watcher->step(w, in, mask);
    }
    in.run(w, in, mask);
  }
}

}  // namespace

void run_split(Warp& warp) {
  const Watcher* watcher = warp.launch->watcher;
  if (watcher != nullptr && (watcher->wants_steps() || watcher->tracks_definedness())) {
    run<true>(warp);
  } else {
    run<false>(warp);
  }
}

}  // namespace emu
