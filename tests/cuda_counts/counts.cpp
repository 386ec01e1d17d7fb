#include "tests/cuda_counts/counts.h"

#include <cmath>

namespace cuclip::test {
namespace {

// Numbers of either sign below 2, the same in each run, without a pattern: how often top-k finds better ones
// depends on them. The hash is MurmurHash3's finaliser.
float small_number(int64_t i) {
  auto hash = static_cast<uint32_t>(i);
  hash = (hash ^ hash >> 16) * 0x85ebca6b;
  hash = (hash ^ hash >> 13) * 0xc2b2ae35;
  return static_cast<float>((hash ^ hash >> 16) % 4093) / 1023.0f - 2.0f;
}

const char* name_of(Role role) {
  return role == Role::activation ? "activation" : role == Role::parameter ? "parameter" : "statistic";
}

}  // namespace

Counts::~Counts() {
  for (void* memory : memory_) device_free(Device::cuda, memory);
}

TensorView Counts::tensor(Role role, const Shape& shape, DType dtype) {
  const size_t bytes = static_cast<size_t>(shape.elements()) * size_of(dtype);
  std::vector<uint8_t> host(bytes);
  for (int64_t i = 0; i < shape.elements(); ++i) {
    if (dtype == DType::f32) reinterpret_cast<float*>(host.data())[i] = small_number(i);
    if (dtype == DType::bf16) reinterpret_cast<bfloat16*>(host.data())[i] = bfloat16(small_number(i));
  }
  void* memory = device_allocate(Device::cuda, bytes);
  memory_.push_back(memory);
  device_copy(Device::cuda, memory, host.data(), bytes, stream_.handle());
  device_synchronize(Device::cuda, stream_.handle());
  roles_[allocations_++] = role;
  return TensorView(memory, dtype, shape);
}

void Counts::finish(const std::string& name, const Bounds& b, bool used_scratch) {
  device_synchronize(Device::cuda, stream_.handle());
  std::string allocations;
  for (const auto& [number, role] : roles_) {
    allocations += fmt::format(R"("allocation {}": "{}", )", number, name_of(role));
  }
  // An operation reserves its scratch once, after its tensors.
  if (used_scratch) allocations += fmt::format(R"("allocation {}": "scratch", )", allocations_++);
  allocations.resize(allocations.size() - 2);
  cases_.push_back(fmt::format(
      R"({{"name": "{}", "activation_bytes": {}, "most_traffic": {}, "most_scratch": {}, "useful_flop": {}, )"
      R"("least_useful": {}, "vectors_only": {}, "most_conflicts": {}, "allocations": {{{}}}}})",
      name, b.activation_bytes, b.most_traffic, b.most_scratch, b.useful_flop, b.least_useful, b.vectors_only,
      b.most_conflicts, allocations));
  for (void* memory : memory_) device_free(Device::cuda, memory);
  memory_.clear();
  roles_.clear();
}

std::string Counts::json() const {
  std::string text = "[";
  for (const std::string& each : cases_) text += (text.size() > 1 ? ",\n " : "") + each;
  return text + "]";
}

}  // namespace cuclip::test
