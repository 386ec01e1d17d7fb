#include "train/loop/step_replay.h"

#include <algorithm>
#include <cstring>
#include <exception>

namespace cuclip {
namespace {

constexpr int64_t kTextMultiple = 16;

std::vector<int64_t> shapes_of(const StepInputs& inputs) {
  std::vector<int64_t> extents;
  for (const MicroBatch& input : inputs.batches) {
    extents.insert(extents.end(),
                   {input.images.size(0), input.tokens.size(1), input.kept ? input.kept.size(1) : 0,
                    input.words ? input.words.size(0) : 0});
  }
  return extents;
}

}  // namespace

StepReplay::Slot::Slot(Context& context, size_t bytes)
    : host(context.device(), bytes),
      device(Tensor::empty(context, {static_cast<int64_t>(bytes)}, DType::u8)),
      copied(context.device()),
      computed(context.device()) {}

StepReplay::StepReplay(Context& context, const StepComputation& computation)
    : context_(context),
      computation_(computation),
      workspace_(context.queue(), context.allocator()),
      branch_(context),
      copies_(context.device()) {}

// Work that is under way uses the memory that is about to be freed.
StepReplay::~StepReplay() {
  try {
    device_synchronize(context_.device(), copies_.handle());
    device_synchronize(context_.device(), branch_.workspace().queue->stream.handle());
    device_synchronize(context_.device(), context_.stream());
  } catch (const std::exception&) {  // the device has failed: nothing is under way
  }
}

void StepReplay::make_room(size_t bytes) {
  if (slots_[0] && slots_[0]->host.size() >= bytes) return;
  // The slots' copies are ordered on another stream.
  device_synchronize(context_.device(), context_.stream());
  recorded_.clear();  // they read the old slots
  for (std::optional<Slot>& slot : slots_) slot.emplace(context_, bytes);
}

StepInputs StepReplay::upload(std::span<const MicroBatch> batches, float lr) {
  StepInputs inputs = ready_for_step(context_.host(), batches, lr, kTextMultiple);
  // Calls place(tensor, from) for each tensor; `from` is where it lies in a slot, and in the inputs. Texts
  // have room for longer ones. Returns the end.
  const auto for_each_place = [&](auto&& place) {
    size_t end = 0;
    const auto add = [&](Tensor& tensor, size_t bytes) {
      if (!tensor) return;
      place(tensor, end);
      end += round_up(bytes, kDeviceAlignment);
    };
    add(inputs.lr, inputs.lr.bytes());
    for (size_t i = 0; i < batches.size(); ++i) {
      MicroBatch& input = inputs.batches[i];
      add(input.images, input.images.bytes());
      add(input.tokens, batches[i].tokens.bytes());
      add(input.end, input.end.bytes());
      add(input.kept, input.kept.bytes());
      add(input.words, input.words.bytes());
    }
    return end;
  };
  const size_t bytes = for_each_place([](Tensor&, size_t) {});
  make_room(bytes);
  // Whatever reads the latest slot is on the stream by now, even if that step failed half-way.
  slots_[slot_]->computed.record(context_.stream());
  slot_ = (slot_ + 1) % slots_.size();
  Slot& slot = *slots_[slot_];
  slot.copied.synchronize();  // the host memory is free again
  for_each_place([&](Tensor& tensor, size_t from) {
    std::memcpy(slot.host.data() + from, tensor.view().data, tensor.bytes());
    tensor = slot.device.part(from, tensor.shape(), tensor.dtype());
  });
  slot.computed.make_stream_wait(copies_.handle());
  device_copy(Device::cuda, slot.device.view().data, slot.host.data(), bytes, copies_.handle());
  slot.copied.record(copies_.handle());
  slot.copied.make_stream_wait(context_.stream());
  return inputs;
}

void StepReplay::compute_first(const StepInputs& inputs) {
  const std::array<Workspace*, 2> workspaces{&workspace_, &branch_.workspace()};
  for (Workspace* each : workspaces) each->allocator.reset_peak();
  const int64_t segments = memory().system_allocations;
  computation_.run(inputs, &branch_);
  if (memory().system_allocations == segments) return;
  // It took more memory than any step before. One segment for all of it can be cut in whatever way the next
  // steps need; what is recorded refers to the old ones.
  device_synchronize(context_.device(), context_.stream());
  for (auto& [shapes, in_slots] : recorded_) in_slots = {};
  for (Workspace* each : workspaces) {
    each->scratch.release();
    each->allocator.release_cached();
    each->allocator.reserve(each->allocator.statistics().peak_in_use);
  }
}

CachingAllocator::Statistics StepReplay::memory() const {
  CachingAllocator::Statistics sum = workspace_.allocator.statistics();
  const CachingAllocator::Statistics branch = branch_.workspace().allocator.statistics();
  sum.bytes_in_use += branch.bytes_in_use;
  sum.bytes_reserved += branch.bytes_reserved;
  sum.peak_in_use += branch.peak_in_use;
  sum.allocations += branch.allocations;
  sum.system_allocations += branch.system_allocations;
  return sum;
}

void StepReplay::run(std::span<const MicroBatch> batches, float lr) {
  latest_ = nullptr;
  const StepInputs inputs = upload(batches, lr);
  const auto [entry, first] = recorded_.try_emplace(shapes_of(inputs));
  const WorkspaceScope scope(context_, workspace_);
  if (first) {
    compute_first(inputs);
    return;
  }
  std::optional<RecordedWork>& work = entry->second[slot_];
  if (!work) work.emplace(context_.stream(), [&] { computation_.run(inputs, &branch_); });
  work->launch(context_.stream());
  latest_ = &*work;
}

}  // namespace cuclip
