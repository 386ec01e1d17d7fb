// What the tests of every kernel share: running under each instruction set and with several thread counts.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/tiles/product_policy.h"
#include "tests/support/buffer.h"
#include "tests/support/skip.h"

namespace cuclip::test {

/// The instruction sets that the kernels were built for and that this processor has, best first, as Highway's
/// target bits.
std::vector<int64_t> simd_targets();
std::string simd_target_name(int64_t target);

/// While it lives, CPU kernels run on this instruction set.
class SimdTargetScope {
 public:
  explicit SimdTargetScope(int64_t target);
  ~SimdTargetScope();
  SimdTargetScope(const SimdTargetScope&) = delete;
  SimdTargetScope& operator=(const SimdTargetScope&) = delete;
};

/// Calls body(ctx, target_name): on the CPU with each instruction set, on two threads; on CUDA once. For
/// comparison with a reference.
template <typename Body>
void for_each_target(Body&& body) {
  TestContext ctx(2);
  if (on_cuda()) return body(static_cast<ExecContext>(ctx), std::string("cuda"));
  for (const int64_t target : simd_targets()) {
    const SimdTargetScope scope(target);
    body(static_cast<ExecContext>(ctx), simd_target_name(target));
  }
}

/// The context, whose products may round f32 to tf32; on the CPU it makes no difference.
inline ExecContext with_tf32(ExecContext ctx) {
  static constexpr ProductPolicy kTf32{.tf32 = true};
  ctx.products = &kTf32;
  return ctx;
}

/// Calls run(ctx), which returns the kernel's outputs, with 1, 2 and 3 threads (on CUDA: three times); true
/// when all have the same bits.
template <typename Run>
bool same_bits_for_any_thread_count(Run&& run) {
  TestContext one(1);
  const std::vector<Buffer> expected = run(static_cast<ExecContext>(one));
  for (const int threads : {2, 3}) {
    TestContext many(threads);
    const std::vector<Buffer> actual = run(static_cast<ExecContext>(many));
    for (size_t i = 0; i < expected.size(); ++i) {
      if (!actual[i].same_bits(expected[i])) return false;
    }
  }
  return true;
}

/// All cases, or on the emulator (CUCLIP_TEST_REDUCED is set; the slow campaign does not) those that `small`
/// accepts: a case should take it no more than a few seconds.
template <typename Case, typename Small>
std::vector<Case> cases_here(std::vector<Case> all, Small&& small) {
  if (std::getenv("CUCLIP_TEST_REDUCED")) std::erase_if(all, [&](const Case& c) { return !small(c); });
  return all;
}

/// An option of the emulator (EMULATE_...) for the programs that are run while this lives, and for what the
/// emulator reads at each call.
class Emulate {
 public:
  Emulate(const char* variable, const char* value) : variable_(variable) { ::setenv(variable, value, 1); }
  ~Emulate() { ::unsetenv(variable_); }
  Emulate(const Emulate&) = delete;
  Emulate& operator=(const Emulate&) = delete;

 private:
  const char* variable_;
};

struct FreeOnDevice {
  void operator()(void* memory) const { device_free(Device::cuda, memory); }
};

/// Takes what is left of the emulated device's memory, all but less than a MiB.
inline std::vector<std::unique_ptr<void, FreeOnDevice>> fill_device() {
  std::vector<std::unique_ptr<void, FreeOnDevice>> blocks;
  for (size_t bytes = size_t{1} << 40; bytes >= size_t{1} << 20;) {
    if (void* memory = device_try_allocate(Device::cuda, bytes)) {
      blocks.emplace_back(memory);
    } else {
      bytes /= 2;
    }
  }
  return blocks;
}

/// Plain values in the memory of the test device.
template <typename T>
class OnDevice {
 public:
  explicit OnDevice(const std::vector<T>& values)
      : bytes_(Buffer::poisoned({static_cast<int64_t>(values.size() * sizeof(T))}, DType::u8)) {
    if (!values.empty()) std::memcpy(bytes_.edit<uint8_t>(), values.data(), values.size() * sizeof(T));
  }
  std::span<T> view() const {
    return {reinterpret_cast<T*>(bytes_.view().data), static_cast<size_t>(bytes_.elements()) / sizeof(T)};
  }
  T at(size_t i) const {
    T value;
    std::memcpy(&value, bytes_.data<uint8_t>() + i * sizeof(T), sizeof(T));
    return value;
  }

 private:
  Buffer bytes_;
};

/// A view of the same memory whose strides are not those of a contiguous tensor: kernels must refuse it.
inline TensorView with_padded_rows(const Buffer& buffer) {
  TensorView view = buffer.view();
  for (size_t i = 0; i + 1 < static_cast<size_t>(view.rank()); ++i) view.strides[i] += 1;
  if (view.rank() == 1) view.strides[0] = 2;
  return view;
}

/// The tolerance of a value that is computed in f32 with an error of `f32_error` (absolute, and relative to
/// the value) and then rounded to dtype.
inline Tolerance rounded(DType dtype, double f32_error) {
  return {.absolute = f32_error, .relative = f32_error + (dtype == DType::bf16 ? roundoff(dtype) : 0.0)};
}

}  // namespace cuclip::test

/// Leave a test case that is about the CPU only (saying why), about CUDA only, about the emulator only.
#define CUCLIP_SKIP_ON_CUDA(reason) CUCLIP_SKIP_IF(::cuclip::test::on_cuda(), reason)
#define CUCLIP_NEEDS_CUDA() CUCLIP_SKIP_IF(!::cuclip::test::on_cuda(), "about CUDA only")
#define CUCLIP_NEEDS_EMULATOR() CUCLIP_SKIP_IF(!::cuclip::test::emulated(), "about the emulator only")
