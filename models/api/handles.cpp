#include "models/api/handles.h"

#include <utility>

#include "kernels/common/check.h"

namespace cuclip {

// Never destroyed: other threads may be in a call while the process returns from main.
Handles& Handles::all() {
  static auto* const handles = new Handles;
  return *handles;
}

std::uintptr_t Handles::insert(Object object) {
  const std::lock_guard lock(mutex_);
  live_.emplace(next_, std::move(object));
  return std::exchange(next_, next_ + 2);
}

// The caller holds the mutex.
template <typename T>
Handles::Objects::const_iterator Handles::find(const void* handle, const char* name) const {
  if (!handle) throw BadHandle(fmt::format("{} is NULL, expected a handle", name));
  const auto found = live_.find(reinterpret_cast<std::uintptr_t>(handle));
  if (found == live_.end())
    throw BadHandle(fmt::format("{} is not a handle in use: it was freed, or it never was one", name));
  if (!std::holds_alternative<T>(found->second))
    throw BadHandle(fmt::format("{} is the handle of something else", name));
  return found;
}

template <typename T>
T Handles::copy(const void* handle, const char* name) const {
  const std::lock_guard lock(mutex_);
  return std::get<T>(find<T>(handle, name)->second);
}

template <typename T>
void Handles::take(const void* handle, const char* name) {
  Objects::node_type taken;  // ends after the lock: to free a model takes time
  const std::lock_guard lock(mutex_);
  taken = live_.extract(find<T>(handle, name));
}

cuclip_clip* Handles::add(Clip clip) { return reinterpret_cast<cuclip_clip*>(insert(std::move(clip))); }
cuclip_classifier* Handles::add(Classifier classifier) {
  return reinterpret_cast<cuclip_classifier*>(insert(std::move(classifier)));
}
cuclip_index* Handles::add(Index index) { return reinterpret_cast<cuclip_index*>(insert(std::move(index))); }

Clip Handles::get(const cuclip_clip* handle) const { return copy<Clip>(handle, "clip"); }
Classifier Handles::get(const cuclip_classifier* handle) const {
  return copy<Classifier>(handle, "classifier");
}
Index Handles::get(const cuclip_index* handle) const { return copy<Index>(handle, "index"); }

void Handles::remove(const cuclip_clip* handle) { take<Clip>(handle, "clip"); }
void Handles::remove(const cuclip_classifier* handle) { take<Classifier>(handle, "classifier"); }
void Handles::remove(const cuclip_index* handle) { take<Index>(handle, "index"); }

}  // namespace cuclip
