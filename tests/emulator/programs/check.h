// What the test programs share: checked API calls, and comparison of results.
#pragma once

#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <random>
#include <vector>

#define CUDA(call)                                                                           \
  do {                                                                                       \
    const cudaError_t error_ = (call);                                                       \
    if (error_ != cudaSuccess) {                                                             \
      std::printf("%s:%d: %s: %s\n", __FILE__, __LINE__, #call, cudaGetErrorString(error_)); \
      std::exit(1);                                                                          \
    }                                                                                        \
  } while (0)

inline int failures = 0;

#define EXPECT(condition, ...)                                      \
  do {                                                              \
    if (!(condition)) {                                             \
      if (++failures <= 20) {                                       \
        std::printf("%s:%d: %s: ", __FILE__, __LINE__, #condition); \
        std::printf(__VA_ARGS__);                                   \
        std::printf("\n");                                          \
      }                                                             \
    }                                                               \
  } while (0)

inline int finish() {
  std::printf(failures == 0 ? "passed\n" : "FAILED: %d\n", failures);
  return failures == 0 ? 0 : 1;
}

inline std::mt19937& rng() {
  static std::mt19937 engine = [] {
    const char* seed = std::getenv("TEST_SEED");
    const unsigned value = seed != nullptr ? static_cast<unsigned>(std::atoi(seed)) : std::random_device{}();
    std::printf("TEST_SEED=%u\n", value);
    return std::mt19937(value);
  }();
  return engine;
}

template <class T>
struct Device {
  explicit Device(size_t count) : size(count) { CUDA(cudaMalloc(&data, count * sizeof(T))); }
  explicit Device(const std::vector<T>& host) : Device(host.size()) {
    CUDA(cudaMemcpy(data, host.data(), size * sizeof(T), cudaMemcpyHostToDevice));
  }
  ~Device() { cudaFree(data); }
  std::vector<T> host() const {
    std::vector<T> result(size);
    CUDA(cudaMemcpy(result.data(), data, size * sizeof(T), cudaMemcpyDeviceToHost));
    return result;
  }
  operator T*() const { return data; }
  T* data = nullptr;
  size_t size;
};
