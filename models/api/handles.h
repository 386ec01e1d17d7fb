// The handles of the C interface: numbers of live objects, made to look like pointers.
#pragma once

#include <cuclip/cuclip.h>
#include <cuclip/cuclip_c.h>

#include <cstdint>
#include <mutex>
#include <unordered_map>
#include <variant>

namespace cuclip {

/// The handle is not one that is in use.
class [[gnu::visibility("hidden")]] BadHandle : public InputError {
 public:
  using InputError::InputError;
};

/// All objects that C code has handles of. A number is given once and never again, so that a handle that was
/// freed stays wrong; they are small and odd, as addresses of C objects are not. Thread-safe.
class [[gnu::visibility("hidden")]] Handles {
 public:
  /// Those of the process.
  static Handles& all();

  cuclip_clip* add(Clip clip);
  cuclip_classifier* add(Classifier classifier);
  cuclip_index* add(Index index);

  /// A copy, which lives on when another thread frees the handle. Throws BadHandle.
  Clip get(const cuclip_clip* handle) const;
  Classifier get(const cuclip_classifier* handle) const;
  Index get(const cuclip_index* handle) const;

  /// Throws BadHandle.
  void remove(const cuclip_clip* handle);
  void remove(const cuclip_classifier* handle);
  void remove(const cuclip_index* handle);

 private:
  using Object = std::variant<Clip, Classifier, Index>;
  using Objects = std::unordered_map<std::uintptr_t, Object>;

  std::uintptr_t insert(Object object);
  template <typename T>
  Objects::const_iterator find(const void* handle, const char* name) const;
  template <typename T>
  T copy(const void* handle, const char* name) const;
  template <typename T>
  void take(const void* handle, const char* name);

  mutable std::mutex mutex_;
  Objects live_;
  std::uintptr_t next_ = 1;
};

}  // namespace cuclip
