// What kernels share that compute with oneDNN: on the calling thread, with primitives that are made once.
#pragma once

#include <array>
#include <cstdint>
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "kernels/common/dtype.h"
#include "kernels/common/signals.h"

// oneDNN is built on GNU OpenMP; these two are all that is needed of it.
extern "C" {
void omp_set_num_threads(int);
int omp_get_max_threads();
}

namespace cuclip {

/// While it lives, oneDNN makes and runs primitives on the calling thread alone, and no handler of a signal
/// interrupts them.
class OneDnnScope {
 public:
  OneDnnScope() : threads_before_(omp_get_max_threads()) {
    if (threads_before_ != 1) omp_set_num_threads(1);
    signals_.hold();
  }
  ~OneDnnScope() {
    if (threads_before_ != 1) omp_set_num_threads(threads_before_);
  }
  OneDnnScope(const OneDnnScope&) = delete;
  OneDnnScope& operator=(const OneDnnScope&) = delete;

 private:
  int threads_before_;
  SignalScope signals_;
};

inline dnnl::memory::data_type to_dnnl(DType dtype) {
  return dtype == DType::bf16 ? dnnl::memory::data_type::bf16 : dnnl::memory::data_type::f32;
}

/// A memory object of oneDNN's over the caller's memory.
inline dnnl::memory wrap(const dnnl::memory::desc& desc, const dnnl::engine& engine, const void* data) {
  return dnnl::memory(desc, engine, const_cast<void*>(data));
}

/// The primitives of one thread, by the numbers that they depend on. Nothing here changes a result; it only
/// saves setting up again. Shapes repeat from step to step; a cache that outgrows its limit is emptied.
template <size_t kKeySize, typename Primitive>
class PrimitiveCache {
 public:
  using Key = std::array<int64_t, kKeySize>;

  /// The primitive of `key`, made by create() if need be; valid until the next call.
  template <typename Create>
  const Primitive& find(const Key& key, Create&& create) {
    if (auto it = primitives_.find(key); it != primitives_.end()) return it->second;
    if (primitives_.size() >= kMost) primitives_.clear();
    return primitives_.emplace(key, create()).first->second;
  }

 private:
  static constexpr size_t kMost = 512;
  struct Hash {
    size_t operator()(const Key& key) const {
      uint64_t h = 0xcbf29ce484222325u;
      for (int64_t v : key) h = (h ^ static_cast<uint64_t>(v)) * 0x9e3779b97f4a7c15u;
      return h ^ (h >> 29);
    }
  };
  std::unordered_map<Key, Primitive, Hash> primitives_;
};

}  // namespace cuclip
