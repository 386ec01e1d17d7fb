// Several arrays in one reservation of scratch.
//
//   ScratchPlan plan;
//   const auto sums = plan.add<float>(n);
//   const auto tiles = plan.add<float>(workers * kTile);
//   plan.reserve(ctx);
//   float* sum = plan[sums];
#pragma once

#include "kernels/common/check.h"
#include "kernels/common/exec_context.h"

namespace cuclip {

class ScratchPlan {
 public:
  template <typename T>
  struct Slot {
    int64_t offset;
  };

  /// Asks for `count` elements; the array starts at a multiple of Scratch::kAlignment.
  template <typename T>
  Slot<T> add(int64_t count) {
    const Slot<T> slot{bytes_};
    bytes_ += round_up(count * static_cast<int64_t>(sizeof(T)), Scratch::kAlignment);
    return slot;
  }

  /// Reserves everything asked for. The arrays are uninitialised and valid until the scratch is reserved
  /// again.
  void reserve(const ExecContext& ctx) {
    CUCLIP_CHECK(ctx.scratch && ctx.scratch->device() == ctx.device,
                 "the context runs on {} and has no scratch there", name_of(ctx.device));
    base_ = static_cast<char*>(ctx.scratch->reserve(static_cast<size_t>(bytes_)));
  }

  template <typename T>
  T* operator[](Slot<T> slot) const {
    return reinterpret_cast<T*>(base_ + slot.offset);
  }

 private:
  int64_t bytes_ = 0;
  char* base_ = nullptr;
};

}  // namespace cuclip
