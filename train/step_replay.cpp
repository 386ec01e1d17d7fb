#include "train/step_replay.h"

#include <algorithm>
#include <cstring>
#include <exception>

namespace cuclip {
namespace {

constexpr int64_t kTextMultiple = 16;

std::vector<int64_t> shapes_of(const StepInputs& inputs) {
  std::vector<int64_t> extents;
  for (const StepInput& input : inputs.batches) {
    extents.insert(extents.end(),
                   {input.images.size(0), input.text.tokens.size(1), input.kept ? input.kept.size(1) : 0});
  }
  return extents;
}

}  // namespace

StepInputs inputs_on_host(Context& host, std::span<const MicroBatch> batches, float lr) {
  StepInputs inputs{.batches = {}, .lr = Tensor::full(host, {1}, lr)};
  for (const MicroBatch& batch : batches)
    inputs.batches.push_back({batch.images, trim_text(host, batch.tokens), batch.kept});
  return inputs;
}

// Copies tensors into a slot's host memory, one after another, and gives their counterparts in the inputs.
struct StepReplay::Layout {
  std::byte* host;
  const Tensor& inputs;
  size_t end = 0;

  // `room`: bytes to leave for it, where other steps may need more than its own.
  Tensor add(const Tensor& tensor, size_t room) {
    if (!tensor) return Tensor();
    std::memcpy(host + end, tensor.view().data, tensor.bytes());
    const Tensor there = inputs.part(end, tensor.shape(), tensor.dtype());
    end += static_cast<size_t>(round_up(static_cast<int64_t>(room), kDeviceAlignment));
    return there;
  }
  Tensor add(const Tensor& tensor) { return add(tensor, tensor.bytes()); }
};

StepReplay::Slot::Slot(Context& context, size_t bytes)
    : host(context.device(), bytes),
      device(Tensor::empty(context, {static_cast<int64_t>(bytes)}, DType::u8)),
      copied(context.device()),
      consumed(context.device()) {}

StepReplay::StepReplay(Context& context, Compute compute)
    : context_(context),
      compute_(std::move(compute)),
      workspace_(context.queue(), /*keep_segments=*/true),
      copies_(context.device()) {}

// What is under way uses the memory that goes now.
StepReplay::~StepReplay() {
  try {
    device_synchronize(context_.device(), copies_.handle());
    device_synchronize(context_.device(), context_.stream());
  } catch (const std::exception&) {  // the device has failed: nothing is under way
  }
}

void StepReplay::make_room(size_t bytes) {
  if (inputs_ && inputs_.bytes() >= bytes) return;
  device_synchronize(context_.device(),
                     context_.stream());  // the slots' copies are ordered on another stream
  recorded_.clear();                      // they read the inputs that were
  inputs_ = Tensor::empty(context_, {static_cast<int64_t>(bytes)}, DType::u8);
  for (std::optional<Slot>& slot : slots_) slot.emplace(context_, bytes);
}

StepInputs StepReplay::upload(std::span<const MicroBatch> batches, float lr) {
  Context& host = context_.host();
  size_t bytes = kDeviceAlignment;
  for (const MicroBatch& batch : batches) {
    const size_t kept = batch.kept ? batch.kept.bytes() : 0;
    for (const size_t each : {batch.images.bytes(), batch.tokens.bytes(),
                              static_cast<size_t>(batch.tokens.size(0)) * sizeof(int32_t), kept})
      bytes += static_cast<size_t>(round_up(static_cast<int64_t>(each), kDeviceAlignment));
  }
  make_room(bytes);
  Slot& slot = *slots_[next_slot_];
  next_slot_ = (next_slot_ + 1) % slots_.size();
  slot.copied.synchronize();  // the host memory is free again
  Layout layout{slot.host.data(), inputs_};
  StepInputs inputs{.batches = {}, .lr = layout.add(Tensor::full(host, {1}, lr))};
  for (const MicroBatch& batch : batches) {
    const TextInput text = trim_text(host, batch.tokens, kTextMultiple);
    StepInput& input = inputs.batches.emplace_back();
    input.images = layout.add(batch.images);
    input.text.tokens = layout.add(text.tokens, batch.tokens.bytes());
    input.text.end = layout.add(text.end);
    input.kept = layout.add(batch.kept);
  }
  slot.consumed.delay(copies_.handle());
  device_copy(Device::cuda, slot.device.view().data, slot.host.data(), layout.end, copies_.handle());
  slot.copied.record(copies_.handle());
  slot.copied.delay(context_.stream());
  device_copy(Device::cuda, inputs_.view().data, slot.device.view().data, layout.end, context_.stream());
  slot.consumed.record(context_.stream());
  return inputs;
}

void StepReplay::compute_first(const StepInputs& inputs) {
  CachingAllocator& allocator = workspace_.allocator;
  allocator.reset_peak();
  const int64_t segments = allocator.statistics().system_allocations;
  compute_(inputs);
  if (allocator.statistics().system_allocations == segments) return;
  // It took more memory than any step before. One segment for all of it can be cut in whatever way the next
  // steps need; what is recorded refers to the old ones.
  device_synchronize(context_.device(), context_.stream());
  for (auto& [shapes, work] : recorded_) work.reset();
  workspace_.scratch.release();
  allocator.release_cached();
  allocator.reserve(allocator.statistics().peak_in_use);
}

void StepReplay::run(std::span<const MicroBatch> batches, float lr) {
  const StepInputs inputs = upload(batches, lr);
  const auto [entry, first] = recorded_.try_emplace(shapes_of(inputs));
  const WorkspaceScope scope(context_, workspace_);
  if (first) {
    compute_first(inputs);
    kernels_ = 0;
    return;
  }
  std::optional<RecordedWork>& work = entry->second;
  if (!work) work.emplace(context_.stream(), [&] { compute_(inputs); });
  work->launch(context_.stream());
  kernels_ = work->kernels();
}

}  // namespace cuclip
