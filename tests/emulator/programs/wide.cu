// arch: 90
// run:
// run: --check full --schedule random:4
// 128-bit registers: moves, loads and stores, exchange and compare-and-swap.
#include "programs/check.h"

struct alignas(16) Wide {
  unsigned long long low, high;
};

__global__ void turn(const Wide* in, Wide* out) {
  asm volatile(
      "{ .reg .b128 v, w; .reg .b64 l, h;\n"
      "ld.global.b128 v, [%0]; mov.b128 {l, h}, v; mov.b128 w, {h, l}; st.global.b128 [%1], w; }"
      :
      : "l"(in + threadIdx.x), "l"(out + threadIdx.x)
      : "memory");
}

// Both halves count; a torn update would let them differ.
__global__ void count(Wide* cell, Wide* last) {
  unsigned long long low = 0, high = 0, seen_low, seen_high;
  for (;;) {
    asm volatile(
        "{ .reg .b128 e, n, o; mov.b128 e, {%2, %3}; mov.b128 n, {%4, %5};\n"
        "atom.global.cas.b128 o, [%6], e, n; mov.b128 {%0, %1}, o; }"
        : "=l"(seen_low), "=l"(seen_high)
        : "l"(low), "l"(high), "l"(low + 1), "l"(high + 3), "l"(cell)
        : "memory");
    if (seen_low == low && seen_high == high) break;
    low = seen_low;
    high = seen_high;
  }
  asm volatile("{ .reg .b128 n, o; mov.b128 n, {%0, %1}; atom.global.exch.b128 o, [%2], n; }"
               :
               : "l"(low), "l"(high), "l"(last)
               : "memory");
}

int main() {
  std::vector<Wide> values(64);
  for (Wide& v : values) v = {uint64_t{rng()()} << 32 | rng()(), uint64_t{rng()()} << 32 | rng()()};
  Device<Wide> in(values), out(64), cell(std::vector<Wide>(2));
  turn<<<1, 64>>>(in, out);
  CUDA(cudaDeviceSynchronize());
  const auto turned = out.host();
  for (int i = 0; i < 64; ++i)
    EXPECT(turned[i].low == values[i].high && turned[i].high == values[i].low, "%d", i);
  count<<<4, 64>>>(cell, cell + 1);
  CUDA(cudaDeviceSynchronize());
  EXPECT(cell.host()[0].low == 256 && cell.host()[0].high == 768, "%llu", cell.host()[0].low);
  EXPECT(cell.host()[1].high == 3 * cell.host()[1].low, "%llu", cell.host()[1].low);
  return finish();
}
