// Queues of work for a device: streams, events between them, recorded work that one call runs again (CUDA
// graphs), and the host memory that copies on a stream need.
//
// On the CPU there are no queues: a stream's handle is null, an event has always happened, host memory is
// ordinary memory. Work is recorded on Device::cuda only.
#pragma once

#include <functional>
#include <memory>

#include "kernels/common/device.h"

namespace cuclip {

/// Owns a stream of the current device that is not ordered with respect to any other. handle() is what
/// ExecContext::stream takes: null on the CPU.
class DeviceStream {
 public:
  explicit DeviceStream(Device device);
  void* handle() const { return handle_.get(); }

 private:
  struct Destroy {
    void operator()(void* stream) const;
  };
  std::unique_ptr<void, Destroy> handle_;
};

/// A point on a stream that others can wait for. Before its first record() it counts as having happened.
class DeviceEvent {
 public:
  explicit DeviceEvent(Device device);
  /// The event happens when everything that is on the stream now is done.
  void record(void* stream);
  /// What is put on the stream from now on runs after the event.
  void make_stream_wait(void* stream) const;
  /// Waits for it on the host.
  void synchronize() const;

 private:
  struct Destroy {
    void operator()(void* event) const;
  };
  std::unique_ptr<void, Destroy> handle_;
};

/// Owns host memory that copies to and from the device need not stage: pinned memory, where there is CUDA.
class HostStaging {
 public:
  HostStaging(Device device, size_t bytes);
  std::byte* data() const { return memory_.get(); }
  size_t size() const { return bytes_; }

 private:
  struct Free {
    Device device = Device::cpu;
    void operator()(std::byte* memory) const;
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t bytes_;
};

/// Work on a stream that was recorded instead of run. The memory that it uses must stay in place while it
/// lives.
class RecordedWork {
 public:
  /// Records what `work` puts on `stream`, which must not wait for it. Throws what `work` throws.
  RecordedWork(void* stream, const std::function<void()>& work);
  /// Puts all of it on the stream.
  void launch(void* stream) const;
  /// How many kernels one run launches.
  int64_t kernels() const { return kernels_; }
  /// How many of them at most follow one another, each waiting for the one before.
  int64_t longest_chain() const { return longest_chain_; }

 private:
  struct Destroy {
    void operator()(void* executable) const;
  };
  std::unique_ptr<void, Destroy> executable_;
  int64_t kernels_ = 0, longest_chain_ = 0;
};

}  // namespace cuclip
