// Work that runs beside other work on the device.
#pragma once

#include <functional>

#include "core/context.h"

namespace cuclip {

/// A second stream, with memory of its own, for recorded work (RecordedWork): in a CUDA graph it becomes a
/// branch beside the context's stream.
class Branch {
 public:
  /// The context must outlive it and be on Device::cuda; the memory is as for recorded work (Workspace).
  explicit Branch(Context& context)
      : context_(context),
        workspace_(std::make_shared<const DeviceQueue>(context.device()), context.allocator()),
        fork_(context.device()),
        join_(context.device()) {}

  /// `beside` puts work on the branch and `own` on the context's stream; each follows all that was on the
  /// context's stream before, and all that comes there later follows both. On the device nothing orders one
  /// with respect to the other, so neither may touch what the other writes. Memory is handed out again in
  /// the order of its own stream alone: a tensor that one side made and the other side reads must be kept
  /// until run() has returned.
  void run(const std::function<void()>& beside, const std::function<void()>& own);

  Workspace& workspace() { return workspace_; }
  const Workspace& workspace() const { return workspace_; }

 private:
  Context& context_;
  Workspace workspace_;
  DeviceEvent fork_, join_;
};

}  // namespace cuclip
