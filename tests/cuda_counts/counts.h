// What cuda_counts knows of a kernel: its tensors, the least that it must move and compute, and the targets.
// The emulator counts what it does; scripts/kernel_counts compares.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/exec_context.h"
#include "kernels/common/stream.h"
#include "kernels/common/tensor_view.h"
#include "kernels/tiles/product_policy.h"

namespace cuclip::test {

/// What an allocation holds. Only activations count against the least traffic: no cache is modelled, so that
/// reads of small shared tensors, which a GPU answers from its cache, count each time; they are reported
/// apart.
enum class Role { activation, parameter, statistic };

/// The least work of a case and how near to it the kernels must come. A target of 0: none.
struct Bounds {
  double activation_bytes = 0;  // each activation read or written once
  double most_traffic = 0;      // activations moved / activation_bytes, at most
  double most_scratch = 0;      // scratch moved / activation_bytes, at most
  double useful_flop = 0;       // on tensor cores, padding not counted
  double least_useful = 0;      // useful_flop / tensor FLOP issued, at least
  bool vectors_only = true;     // every access to activations and parameters is 16 bytes wide
  double most_conflicts = 0;    // extra passes over shared memory / passes, at most
  bool tf32 = false;            // the context allows it
};

/// Device memory for the cases, and the list of what was run, as JSON for scripts/kernel_counts.
class Counts {
 public:
  Counts() : stream_(Device::cuda) {}
  ~Counts();
  Counts(const Counts&) = delete;
  Counts& operator=(const Counts&) = delete;

  /// A tensor of the case that runs next, with small numbers in it (integers: zeros).
  TensorView tensor(Role role, const Shape& shape, DType dtype);
  /// Plain values of the case that runs next.
  template <typename T>
  std::span<T> values(Role role, const std::vector<T>& values) {
    const TensorView there = tensor(role, {static_cast<int64_t>(values.size() * sizeof(T))}, DType::u8);
    device_copy(Device::cuda, there.data, values.data(), values.size() * sizeof(T), stream_.handle());
    device_synchronize(Device::cuda, stream_.handle());
    return {reinterpret_cast<T*>(there.data), values.size()};
  }
  /// Runs body(ctx) once, on the tensors made since the last case, and notes it. The tensors are freed.
  template <typename Body>
  void run(const std::string& name, const Bounds& bounds, Body&& body) {
    Scratch scratch(Device::cuda);
    const ProductPolicy policy{.tf32 = bounds.tf32};
    body(ExecContext{
        .device = Device::cuda, .scratch = &scratch, .stream = stream_.handle(), .products = &policy});
    finish(name, bounds, scratch.capacity() > 0);
  }
  /// A JSON array with an object for each case.
  std::string json() const;

 private:
  void finish(const std::string& name, const Bounds& bounds, bool used_scratch);

  DeviceStream stream_;
  int allocations_ = 0;        // by this process so far: the emulator numbers them
  std::map<int, Role> roles_;  // of the next case's
  std::vector<void*> memory_;
  std::vector<std::string> cases_;
};

/// One function for each operation, in a file of its name.
void count_adamw(Counts& counts);
void count_attention(Counts& counts);
void count_contrastive_loss(Counts& counts);
void count_conv2d(Counts& counts);
void count_embed(Counts& counts);
void count_gemm(Counts& counts);
void count_layer_norm(Counts& counts);
void count_patch_embed(Counts& counts);
void count_pixels(Counts& counts);
void count_pointwise(Counts& counts);
void count_resnet(Counts& counts);
void count_similarity(Counts& counts);

}  // namespace cuclip::test
