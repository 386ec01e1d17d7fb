// arch: 80 90
// run: --check full --error-exitcode 9 --threads 2
// cub's device-wide primitives, against the host: what they are made of is nearly the whole of the ISA.
#include <algorithm>
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_reduce.cuh>
#include <cub/device/device_scan.cuh>
#include <numeric>

#include "programs/check.h"

// Asks for the scratch size, then runs.
template <class Call>
void with_scratch(const Call& call) {
  size_t bytes = 0;
  CUDA(call(static_cast<void*>(nullptr), bytes));
  Device<char> scratch(bytes);
  CUDA(call(static_cast<void*>(scratch.data), bytes));
  CUDA(cudaDeviceSynchronize());
}

int main() {
  for (const int n : {1, 1000, 30011}) {
    std::vector<int> values(n);
    for (int& value : values) value = static_cast<int>(rng()() % 2001) - 1000;
    Device<int> in(values), out(n);
    with_scratch([&](void* scratch, size_t& bytes) {
      return cub::DeviceReduce::Sum(scratch, bytes, in.data, out.data, n);
    });
    const int sum = std::accumulate(values.begin(), values.end(), 0);
    EXPECT(out.host()[0] == sum, "sum of %d: %d, expected %d", n, out.host()[0], sum);
    with_scratch([&](void* scratch, size_t& bytes) {
      return cub::DeviceScan::ExclusiveSum(scratch, bytes, in.data, out.data, n);
    });
    std::vector<int> expected(n);
    std::exclusive_scan(values.begin(), values.end(), expected.begin(), 0);
    EXPECT(out.host() == expected, "scan of %d", n);
    with_scratch([&](void* scratch, size_t& bytes) {
      return cub::DeviceRadixSort::SortKeys(scratch, bytes, in.data, out.data, n);
    });
    std::sort(values.begin(), values.end());
    EXPECT(out.host() == values, "sort of %d", n);
  }
  return finish();
}
