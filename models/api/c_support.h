// What the functions of cuclip/cuclip_c.h share: the guard that lets no exception out, and the checks of what
// C hands over.
#pragma once

#include <cuclip/cuclip.h>
#include <cuclip/cuclip_c.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/check.h"
#include "models/api/handles.h"

namespace cuclip {

/// Keeps the reason for cuclip_last_error() of this thread; returns the status.
cuclip_status failed(cuclip_status status, const char* reason) noexcept;

template <typename Body>
cuclip_status guarded(const Body& body) noexcept {
  try {
    body();
    return CUCLIP_OK;
  } catch (const BadHandle& error) {
    return failed(CUCLIP_BAD_HANDLE, error.what());
  } catch (const InputError& error) {
    return failed(CUCLIP_INPUT_ERROR, error.what());
  } catch (const std::bad_alloc&) {
    return failed(CUCLIP_ERROR, "out of memory");
  } catch (const std::exception& error) {
    return failed(CUCLIP_ERROR, error.what());
  } catch (...) {
    return failed(CUCLIP_ERROR, "failed for an unknown reason");
  }
}

template <typename T>
T* given(T* pointer, const char* name) {
  CUCLIP_CHECK(pointer, "{} is NULL", name);
  return pointer;
}

/// An array may be NULL only where it has no elements.
template <typename T>
std::span<T> array(T* elements, size_t count, const char* name) {
  constexpr size_t kMost = PTRDIFF_MAX / sizeof(T);
  CUCLIP_CHECK(count <= kMost, "{}: {} elements cannot be in memory", name, count);
  if (count > 0) given(elements, name);
  return {elements, count};
}

template <typename String = std::string>
std::vector<String> strings(const char* const* texts, size_t count, const char* name) {
  std::vector<String> all;
  for (const char* const& text : array(texts, count, name)) {
    CUCLIP_CHECK(text, "{}[{}] is NULL", name, &text - texts);
    all.emplace_back(text);
  }
  return all;
}

/// Checks that an array of results [rows, columns] has that many elements.
template <typename T>
std::span<T> results(T* elements, size_t values, size_t rows, size_t columns, const char* name) {
  const bool fits = rows == 0 || columns <= SIZE_MAX / rows;
  CUCLIP_CHECK(fits && values == rows * columns, "{}: expected an array of {} x {} values, got one of {}",
               name, rows, columns, values);
  return array(elements, values, name);
}

template <typename From, typename To>
void copy_to(const From& from, std::span<To> to) {
  std::copy(from.begin(), from.end(), to.begin());
}

/// Text with a NUL at the end, into [size]; with size 0 it is only measured.
void copy_text(const std::string& text, char* to, size_t size, size_t* length, const char* name);

/// Throws InputError unless what a struct says of its size may be so. `known`: in this version. Members are 8
/// bytes, or pairs of 4, so that no older size cuts one (tests/api/abi_test.cpp).
void check_size(const void* options, size_t size, size_t known, const char* name);

/// The options as this version knows them, from a program that was compiled with any: what it lacks has its
/// default, and what this version does not know must be zero.
template <typename Options>
Options known_options(const Options* options, Options defaults, const char* name) {
  if (!options) return defaults;
  check_size(options, options->size, sizeof(Options), name);
  std::memcpy(&defaults, options, std::min(options->size, sizeof(Options)));
  return defaults;
}

/// 0 or 1.
bool flag(int32_t value, const char* name);

RgbView view_of(const cuclip_rgb& picture);

}  // namespace cuclip
