// run: --check full --error-exitcode 9 --threads 2
// thrust's algorithms on device vectors, against the host.
#include <thrust/device_vector.h>
#include <thrust/reduce.h>
#include <thrust/sort.h>
#include <thrust/transform_reduce.h>

#include <map>

#include "programs/check.h"

struct Square {
  __host__ __device__ long long operator()(int x) const { return static_cast<long long>(x) * x; }
};

int main() {
  const int n = 5003;
  std::vector<int> keys(n), values(n);
  std::map<int, int> sums;
  long long squares = 0;
  for (int i = 0; i < n; ++i) {
    keys[i] = static_cast<int>(rng()() % 201) - 100;
    values[i] = static_cast<int>(rng()() % 1000);
    sums[keys[i]] += values[i];
    squares += static_cast<long long>(values[i]) * values[i];
  }
  thrust::device_vector<int> device_keys = keys, device_values = values, unique(n), totals(n);
  EXPECT(thrust::transform_reduce(device_values.begin(), device_values.end(), Square(), 0ll,
                                  thrust::plus<long long>()) == squares,
         "sum of squares");
  thrust::sort_by_key(device_keys.begin(), device_keys.end(), device_values.begin());
  std::vector<int> sorted(n);
  thrust::copy(device_keys.begin(), device_keys.end(), sorted.begin());
  EXPECT(std::is_sorted(sorted.begin(), sorted.end()), "sort_by_key");
  const auto ends = thrust::reduce_by_key(device_keys.begin(), device_keys.end(), device_values.begin(),
                                          unique.begin(), totals.begin());
  EXPECT(ends.first - unique.begin() == static_cast<long>(sums.size()), "%zu keys expected", sums.size());
  size_t i = 0;
  for (const auto& [key, sum] : sums) {
    EXPECT(unique[i] == key && totals[i] == sum, "key %d, sum %d expected", key, sum);
    ++i;
  }
  return finish();
}
