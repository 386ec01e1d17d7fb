// arch: 80 90
// run:
// run: --check full --schedule random:5 --error-exitcode 9
// Cooperative groups: tiles, partitions, reductions, scans, groups of several warps, the grid.
#include <cooperative_groups.h>
#include <cooperative_groups/reduce.h>
#include <cooperative_groups/scan.h>
#include "programs/check.h"
namespace cg = cooperative_groups;
__global__ void k(int* out) {
  auto block = cg::this_thread_block();
  auto w = cg::tiled_partition<32>(block);
  auto t4 = cg::tiled_partition<4>(w);
  auto dynt = cg::tiled_partition<16>(block);
  int r = threadIdx.x;
  int* o = out + r * 16;
  o[0] = cg::reduce(w, r, cg::plus<int>());
  o[1] = cg::reduce(t4, r, cg::greater<int>());
  o[2] = cg::inclusive_scan(w, r);
  o[3] = cg::exclusive_scan(t4, r);
  o[4] = dynt.shfl_up(r, 1);
  auto bp = cg::binary_partition(w, r % 3 == 0);
  o[5] = cg::reduce(bp, 1, cg::plus<int>());
  o[6] = bp.thread_rank();
  auto lp = cg::labeled_partition(w, r % 5);
  o[7] = lp.size();
  o[8] = cg::reduce(lp, r, cg::plus<int>());
  if (r % 2) {
    auto ac = cg::coalesced_threads();
    o[9] = ac.size();
    o[10] = ac.shfl(r, 0);
    o[11] = ac.thread_rank();
    ac.sync();
  } else {
    o[9] = o[10] = o[11] = -1;
  }
  struct P {
    double a;
    long long b;
  } p{double(r), r};
  auto q = w.shfl_xor(p, 3);
  o[12] = int(q.a) + int(q.b);
  o[13] = cg::reduce(w, float(r), cg::plus<float>());
  o[14] = w.match_any(r / 4);
  o[15] = w.any(r == 3) + 2 * w.all(r >= 0) + 4 * w.ballot(r % 2 == 0);
  block.sync();
}
__global__ void multi(int* out, int n) {
  auto grid = cg::this_grid();
  __shared__ cg::block_tile_memory<256> mem;
  auto block = cg::this_thread_block(mem);
  auto t = cg::tiled_partition<64>(block);
  int s = cg::reduce(t, int(threadIdx.x), cg::plus<int>());
  for (int i = 0; i < 4; ++i) {
    s += cg::exclusive_scan(t, 1, cg::plus<int>());
    s += t.shfl(int(threadIdx.x), i * 37 % 64);
    s += t.any(int(threadIdx.x) % 64 == i);
  }
  out[grid.thread_rank()] = s;
  grid.sync();
  int x = out[(grid.thread_rank() + 64) % n];
  grid.sync();
  out[grid.thread_rank()] = x;
  auto tok = grid.barrier_arrive();
  grid.barrier_wait(std::move(tok));
}
int main() {
  Device<int> out(64 * 16);
  k<<<1, 64>>>(out);
  CUDA(cudaDeviceSynchronize());
  auto h = out.host();
  for (int r = 0; r < 64; ++r) {
    int* o = &h[r * 16];
    int w = r / 32 * 32;
    int s = 0;
    for (int i = w; i < w + 32; ++i) s += i;
    EXPECT(o[0] == s, "reduce");
    EXPECT(o[1] == r / 4 * 4 + 3, "greater");
    int sc = 0;
    for (int i = w; i <= r; ++i) sc += i;
    EXPECT(o[2] == sc, "scan");
    int es = 0;
    for (int i = r / 4 * 4; i < r; ++i) es += i;
    EXPECT(o[3] == es, "exscan");
    EXPECT(o[4] == (r % 16 ? r - 1 : r), "dyn");
    int c = 0, k = 0, l = 0, ls = 0;
    for (int i = w; i < w + 32; ++i) {
      c += (i % 3 == 0) == (r % 3 == 0);
      if (i < r) k += (i % 3 == 0) == (r % 3 == 0);
      if (i % 5 == r % 5) {
        ++l;
        ls += i;
      }
    }
    EXPECT(o[5] == c && o[6] == k, "binary");
    EXPECT(o[7] == l && o[8] == ls, "labeled %d %d", o[7], o[8]);
    if (r % 2)
      EXPECT(o[9] == 16 && o[10] == w + 1 && o[11] == r % 32 / 2, "coalesced %d %d %d", o[9], o[10], o[11]);
    EXPECT(o[12] == 2 * (r ^ 3), "struct");
    EXPECT(o[13] == s, "freduce");
  }
  int n = 512;
  Device<int> o2(n);
  int* p = o2;
  void* args[] = {&p, &n};
  CUDA(cudaLaunchCooperativeKernel((void*)multi, dim3(2), dim3(256), args, 0, 0));
  CUDA(cudaDeviceSynchronize());
  auto m = o2.host();
  for (int i = 0; i < n; ++i) {
    int g = (i + 64) % n % 256 / 64;
    int s = 4 * (i % 64);
    for (int k = 0; k < 4; ++k) s += g * 64 + k * 37 % 64 + 1;
    for (int k = g * 64; k < g * 64 + 64; ++k) s += k;
    EXPECT(m[i] == s, "multi %d %d %d", i, m[i], s);
  }
  return finish();
}
