// Tensor-core products of one warp (mma.sync, sm_80 and later) and the loads that bring their operands from
// shared memory (ldmatrix). PTX ISA, "Warp Level Matrix Multiply-Accumulate Instructions".
//
// Which elements a lane holds, with g = lane / 4 (one of 8 rows) and t = lane % 4 (a place in the row):
//
//   bf16, D[16,8] += A[16,16] B[16,8]            tf32, D[16,8] += A[16,8] B[8,8]
//
//         k  2t 2t+1    2t+8 2t+9                      k  t      t+4
//   A  g     a[0]       a[2]                     A  g     a[0]   a[2]
//      g+8   a[1]       a[3]                        g+8   a[1]   a[3]
//
//         n  g                                         n  g
//   B  k 2t,   2t+1   b[0]                       B  k t    b[0]
//        2t+8, 2t+9   b[1]                            t+4  b[1]
//
//         n  2t    2t+1
//   D  g     d[0]  d[1]        for both
//      g+8   d[2]  d[3]
//
// A bf16 register holds two elements, the one with the lower k in its lower half. So D of one product,
// rounded to pairs of bf16, is half of the next one's A: A[:, 0..8) = {pack(d[0], d[1]), pack(d[2], d[3])},
// which are a[0] and a[1].
#pragma once

#include <cstdint>

#include "kernels/common/async_copy.cuh"

namespace cuclip {

/// d += a b, bf16 operands, f32 sums.
__device__ __forceinline__ void mma_bf16(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d += a b, tf32 operands (f32 bits whose lower 13 the hardware ignores: see to_tf32), f32 sums.
__device__ __forceinline__ void mma_tf32(float (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// d += a b, D[16,8] += A[16,32] B[32,8] of bytes, sums of 32 bits, laid out as above. a[0] and a[1] have k
/// 4t to 4t + 3 of rows g and g + 8, a[2] and a[3] the same 16 further on; b[0] and b[1] those of column g.
__device__ __forceinline__ void mma_u8(int (&d)[4], const uint32_t (&a)[4], const uint32_t (&b)[2]) {
  asm("mma.sync.aligned.m16n8k32.row.col.s32.u8.u8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(d[0]), "+r"(d[1]), "+r"(d[2]), "+r"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

/// x rounded to tf32 (10 bits of mantissa), to nearest with ties away from zero.
__device__ __forceinline__ uint32_t to_tf32(float x) {
  uint32_t bits;
  asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(bits) : "f"(x));
  return bits;
}

/// Four 8x8 matrices of 16-bit elements. Lane i gives the address in shared memory of a row of 16 bytes,
/// 16-byte aligned: row i % 8 of matrix i / 8. r[m] of lane (g, t) is then elements 2t and 2t+1 of row g of
/// matrix m. With the matrices in the order (rows 0-7, k 0-7), (rows 8-15, k 0-7), (rows 0-7, k 8-15), (rows
/// 8-15, k 8-15), r is A of mma_bf16: lane i's row is i % 16, at k = i / 16 * 8. With the second and the
/// third exchanged, r[0] and r[1] are B for rows 0-7, r[2] and r[3] for rows 8-15: side by side, as HMMA
/// needs them. Other pairs of registers take two MOV each.
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4(uint32_t (&r)[4], const void* row) {
  ldmatrix_x4(r, shared_address(row));
}

/// The same, each matrix transposed: elements (2t, g) and (2t+1, g). Makes B of mma_bf16 from rows of k, and
/// A from a matrix stored with k along its rows.
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], uint32_t row) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(row)
               : "memory");
}
__device__ __forceinline__ void ldmatrix_x4_trans(uint32_t (&r)[4], const void* row) {
  ldmatrix_x4_trans(r, shared_address(row));
}

}  // namespace cuclip
