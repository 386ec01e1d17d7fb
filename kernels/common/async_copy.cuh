// Copies from global to shared memory that run while the block computes (cp.async, sm_80 and later), and the
// swizzle that keeps tiles in shared memory free of bank conflicts.
//
// The copies that a thread has started since its last commit form a group. wait<N> returns when at most the N
// youngest groups of the thread are still under way; other threads' copies are visible after a barrier too:
//   load(tile 0); commit(); load(tile 1); commit();
//   for each tile: wait<1>(); __syncthreads(); compute; __syncthreads(); load(tile + 2); commit();
#pragma once

#include <cstdint>

namespace cuclip {

/// The address of shared memory as PTX's .shared instructions take it.
__device__ __forceinline__ uint32_t shared_address(const void* p) {
  return static_cast<uint32_t>(__cvta_generic_to_shared(p));
}

/// Copies 16 bytes to an address in shared memory, both 16-byte aligned, past the first-level cache, or
/// writes zeros where there is nothing: then `global` is not accessed, and need not be an address at all.
__device__ __forceinline__ void async_copy_16(uint32_t shared, const void* global, bool there) {
  asm volatile(
      "{\n\t.reg .pred nothing;\n\tsetp.eq.u32 nothing, %2, 0;\n\t"
      "cp.async.cg.shared.global [%0], [%1], 16, nothing;\n\t}" ::"r"(shared),
      "l"(global), "r"(static_cast<uint32_t>(there))
      : "memory");
}

/// Copies the first `bytes` (0 to 16) of 16, both addresses 16-byte aligned, past the first-level cache, and
/// writes zeros to the rest. With 0 nothing is read, but `global` must still be an address in the tensor.
__device__ __forceinline__ void async_copy_16_zero_fill(uint32_t shared, const void* global, int bytes) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(shared), "l"(global), "r"(bytes)
               : "memory");
}

/// Copies 4 bytes, for elements of f32 at any stride, or writes zeros, as async_copy_16.
__device__ __forceinline__ void async_copy_4(uint32_t shared, const void* global, bool there) {
  asm volatile(
      "{\n\t.reg .pred nothing;\n\tsetp.eq.u32 nothing, %2, 0;\n\t"
      "cp.async.ca.shared.global [%0], [%1], 4, nothing;\n\t}" ::"r"(shared),
      "l"(global), "r"(static_cast<uint32_t>(there))
      : "memory");
}

__device__ __forceinline__ void async_commit() { asm volatile("cp.async.commit_group;" ::: "memory"); }

/// Waits until at most kPending of this thread's groups are under way.
template <int kPending>
__device__ __forceinline__ void async_wait() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

/// Where 16-byte chunk `chunk` of row `row` lies in a tile of kChunks chunks per row (a power of two), as an
/// offset in chunks. Eight lanes make one pass over the 32 banks in 16-byte accesses; the chunks of one
/// number in 8 consecutive rows lie in 8 different groups of banks, and so do 8 chunks of one row: neither
/// ldmatrix, which reads down a column, nor cp.async, which writes along a row, has conflicts. With fewer
/// than 8 chunks, 8 / kChunks rows share the 128 bytes of all banks, and are swizzled as one.
template <int kChunks>
__device__ __forceinline__ int swizzle(int row, int chunk) {
  static_assert(kChunks > 0 && (kChunks & (kChunks - 1)) == 0);
  if constexpr (kChunks >= 8) {
    return row * kChunks + (chunk ^ (row & 7));
  } else {
    return row * kChunks + (chunk ^ (row / (8 / kChunks) & (kChunks - 1)));
  }
}

}  // namespace cuclip
