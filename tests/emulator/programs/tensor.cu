// run:
// run: --check full
// ldmatrix and mma.sync in every shape, against products in double with the documented fragment layouts.
#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>

#include "programs/check.h"

// Fragment layouts (PTX ISA, "Matrix fragments for mma"): lane, register and part -> row, column.
struct Place {
  int row, column;
};
// `per` values in a register of A; register i of a 16-row A: row block i % 2, column block i / 2.
__host__ __device__ Place place_a(int lane, int i, int part, int per) {
  const int width = 4 * per;
  return {lane / 4 + 8 * (i % 2), lane % 4 * per + part + width * (i / 2)};
}
__host__ __device__ Place place_b(int lane, int i, int part, int per) {
  return {lane % 4 * per + part + 4 * per * i, lane / 4};
}
__host__ __device__ Place place_c(int lane, int i) {
  return {lane / 4 + 8 * (i / 2), 2 * (lane % 4) + i % 2};
}

// Fragments go to the device as the registers' bits.
#define MMA_KERNEL(name, text, na, nb)                                                   \
  __global__ void name(const uint32_t* a, const uint32_t* b, const float* c, float* d) { \
    uint32_t ra[4] = {}, rb[2] = {};                                                     \
    float rc[4];                                                                         \
    for (int i = 0; i < na; ++i) ra[i] = a[threadIdx.x * na + i];                        \
    for (int i = 0; i < nb; ++i) rb[i] = b[threadIdx.x * nb + i];                        \
    for (int i = 0; i < 4; ++i) rc[i] = c[threadIdx.x * 4 + i];                          \
    text for (int i = 0; i < 4; ++i) d[threadIdx.x * 4 + i] = rc[i];                     \
  }
#define MMA42(op)                                                                              \
  asm volatile("mma.sync.aligned." op " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};" \
               : "+f"(rc[0]), "+f"(rc[1]), "+f"(rc[2]), "+f"(rc[3])                            \
               : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
#define MMA21(op)                                                                     \
  asm volatile("mma.sync.aligned." op " {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};" \
               : "+f"(rc[0]), "+f"(rc[1]), "+f"(rc[2]), "+f"(rc[3])                   \
               : "r"(ra[0]), "r"(ra[1]), "r"(rb[0]));
MMA_KERNEL(bf16_16, MMA42("m16n8k16.row.col.f32.bf16.bf16.f32"), 4, 2)
MMA_KERNEL(f16_16, MMA42("m16n8k16.row.col.f32.f16.f16.f32"), 4, 2)
MMA_KERNEL(bf16_8, MMA21("m16n8k8.row.col.f32.bf16.bf16.f32"), 2, 1)
MMA_KERNEL(f16_8, MMA21("m16n8k8.row.col.f32.f16.f16.f32"), 2, 1)
MMA_KERNEL(tf32_8, MMA42("m16n8k8.row.col.f32.tf32.tf32.f32"), 4, 2)
MMA_KERNEL(tf32_4, MMA21("m16n8k4.row.col.f32.tf32.tf32.f32"), 2, 1)

enum Format { kBf16, kF16, kTf32 };
uint32_t bits_of(Format format, float x) {
  uint32_t bits;
  std::memcpy(&bits, &x, 4);
  if (format == kBf16) return bits >> 16;
  if (format == kTf32) return bits;
  const __half h = __float2half(x);
  uint16_t half;
  std::memcpy(&half, &h, 2);
  return half;
}

using MmaKernel = void (*)(const uint32_t*, const uint32_t*, const float*, float*);
void test_mma(const char* name, MmaKernel kernel, Format format, int k) {
  // Multiples of 1/8 up to 15: exact in every format.
  std::vector<float> a(16 * k), b(k * 8), c(16 * 8);
  for (float& x : a) x = (static_cast<int>(rng()() % 241) - 120) / 8.0f;
  for (float& x : b) x = (static_cast<int>(rng()() % 241) - 120) / 8.0f;
  for (float& x : c) x = static_cast<int>(rng()() % 2001) - 1000;
  const int per = format == kTf32 ? 1 : 2, na = 2 * (k / (4 * per)), nb = k / (4 * per);
  std::vector<uint32_t> fa(32 * na), fb(32 * nb);
  std::vector<float> fc(32 * 4);
  for (int lane = 0; lane < 32; ++lane) {
    for (int part = 0; part < per; ++part) {
      for (int i = 0; i < na; ++i) {
        const Place p = place_a(lane, i, part, per);
        fa[lane * na + i] |= bits_of(format, a[p.row * k + p.column]) << 16 * part;
      }
      for (int i = 0; i < nb; ++i) {
        const Place p = place_b(lane, i, part, per);
        fb[lane * nb + i] |= bits_of(format, b[p.row * 8 + p.column]) << 16 * part;
      }
    }
    for (int i = 0; i < 4; ++i) fc[lane * 4 + i] = c[place_c(lane, i).row * 8 + place_c(lane, i).column];
  }
  Device<uint32_t> da(fa), db(fb);
  Device<float> dc(fc), dd(32 * 4);
  kernel<<<1, 32>>>(da, db, dc, dd);
  const auto d = dd.host();
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const Place p = place_c(lane, i);
      double expected = c[p.row * 8 + p.column];
      for (int j = 0; j < k; ++j) expected += double(a[p.row * k + j]) * b[j * 8 + p.column];
      EXPECT(d[lane * 4 + i] == expected, "%s (%d, %d): %g %g", name, p.row, p.column, d[lane * 4 + i],
             expected);
    }
  }
}

// f64 and 8-bit integers.
__global__ void f64_4(const double* a, const double* b, double* d) {
  double c0 = 1, c1 = 2;
  asm volatile("mma.sync.aligned.m8n8k4.row.col.f64.f64.f64.f64 {%0,%1}, {%2}, {%3}, {%0,%1};"
               : "+d"(c0), "+d"(c1)
               : "d"(a[threadIdx.x]), "d"(b[threadIdx.x]));
  d[2 * threadIdx.x] = c0;
  d[2 * threadIdx.x + 1] = c1;
}
void test_f64() {
  std::vector<double> a(32), b(32);
  for (double& x : a) x = rng()() / 1e6;
  for (double& x : b) x = rng()() / 1e6;
  Device<double> da(a), db(b), dd(64);  // A is 8 x 4 by rows, B 4 x 8 by columns: lane l has element l
  f64_4<<<1, 32>>>(da, db, dd);
  const auto d = dd.host();
  for (int row = 0; row < 8; ++row) {
    for (int n = 0; n < 8; ++n) {
      double expected = 1 + n % 2;
      for (int k = 0; k < 4; ++k) expected += a[row * 4 + k] * b[n * 4 + k];
      EXPECT(std::fabs(d[row * 8 + n] - expected) <= 1e-14 * std::fabs(expected), "%d %d", row, n);
    }
  }
}
// The sums once as they wrap, once saturated.
__global__ void s8_32(const uint32_t* a, const uint32_t* b, const int* start, int* d) {
  int c[4], s[4];
  for (int i = 0; i < 4; ++i) c[i] = s[i] = start[i];
  const uint32_t *ra = a + threadIdx.x * 4, *rb = b + threadIdx.x * 2;
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
      : "+r"(c[0]), "+r"(c[1]), "+r"(c[2]), "+r"(c[3])
      : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
  asm volatile(
      "mma.sync.aligned.m16n8k32.row.col.satfinite.s32.s8.s8.s32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%0,%1,%2,%3};"
      : "+r"(s[0]), "+r"(s[1]), "+r"(s[2]), "+r"(s[3])
      : "r"(ra[0]), "r"(ra[1]), "r"(ra[2]), "r"(ra[3]), "r"(rb[0]), "r"(rb[1]));
  for (int i = 0; i < 4; ++i) {
    d[threadIdx.x * 4 + i] = c[i];
    d[threadIdx.x * 4 + i + 128] = s[i];
  }
}
void test_s8() {
  std::vector<int8_t> a(16 * 32), b(32 * 8);
  for (int8_t& x : a) x = static_cast<int8_t>(rng()());
  for (int8_t& x : b) x = static_cast<int8_t>(rng()());
  std::vector<uint32_t> fa(128), fb(64);
  for (int lane = 0; lane < 32; ++lane) {
    for (int part = 0; part < 4; ++part) {
      for (int i = 0; i < 4; ++i)
        fa[lane * 4 + i] |=
            uint32_t(uint8_t(a[place_a(lane, i, part, 4).row * 32 + place_a(lane, i, part, 4).column]))
            << 8 * part;
      for (int i = 0; i < 2; ++i)
        fb[lane * 2 + i] |=
            uint32_t(uint8_t(b[place_b(lane, i, part, 4).row * 8 + place_b(lane, i, part, 4).column]))
            << 8 * part;
    }
  }
  Device<uint32_t> da(fa), db(fb);
  const std::vector<int> start{1, -2, std::numeric_limits<int>::max() - 30,
                               std::numeric_limits<int>::min() + 30};
  Device<int> dc(start), dd(256);
  s8_32<<<1, 32>>>(da, db, dc, dd);
  const auto d = dd.host();
  for (int lane = 0; lane < 32; ++lane) {
    for (int i = 0; i < 4; ++i) {
      const Place p = place_c(lane, i);
      int64_t exact = start[i];
      for (int k = 0; k < 32; ++k) exact += a[p.row * 32 + k] * b[k * 8 + p.column];
      const int64_t saturated =
          std::clamp<int64_t>(exact, std::numeric_limits<int>::min(), std::numeric_limits<int>::max());
      EXPECT(d[lane * 4 + i] == static_cast<int>(exact), "s8 %d %d", lane, i);
      EXPECT(d[lane * 4 + i + 128] == saturated, "s8 saturated %d %d", lane, i);
    }
  }
}

// ldmatrix: matrix i's row r comes from the address of lane 8 i + r.
__global__ void load_matrices(uint32_t* out, uint32_t* turned) {
  __shared__ __align__(16) uint16_t cells[4][8][8];
  for (int i = threadIdx.x; i < 256; i += 32) (&cells[0][0][0])[i] = i;
  __syncthreads();
  const unsigned address =
      static_cast<unsigned>(__cvta_generic_to_shared(&cells[threadIdx.x / 8][threadIdx.x % 8][0]));
  uint32_t r[4];
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
               : "r"(address));
  for (int i = 0; i < 4; ++i) out[threadIdx.x * 4 + i] = r[i];
  asm volatile("ldmatrix.sync.aligned.m8n8.x2.trans.shared::cta.b16 {%0,%1}, [%2];"
               : "=r"(r[0]), "=r"(r[1])
               : "r"(address));
  for (int i = 0; i < 2; ++i) turned[threadIdx.x * 4 + i] = r[i];
  asm volatile("movmatrix.sync.aligned.m8n8.trans.b16 %0, %1;" : "=r"(r[1]) : "r"(r[0]));
  turned[threadIdx.x * 4 + 2] = r[1];
}
void test_ldmatrix() {
  Device<uint32_t> out(128), turned(128);
  cudaMemset(turned, 0, 512);
  load_matrices<<<1, 32>>>(out, turned);
  const auto o = out.host(), t = turned.host();
  for (uint32_t lane = 0; lane < 32; ++lane) {
    for (uint32_t i = 0; i < 4; ++i) {
      const uint32_t first = i * 64 + lane / 4 * 8 + lane % 4 * 2;
      EXPECT(o[lane * 4 + i] == (first | (first + 1) << 16), "plain %u %u: %x", lane, i, o[lane * 4 + i]);
      const uint32_t top = i * 64 + lane % 4 * 16 + lane / 4;
      if (i < 2)
        EXPECT(t[lane * 4 + i] == (top | (top + 8) << 16), "turned %u %u: %x", lane, i, t[lane * 4 + i]);
    }
    EXPECT(t[lane * 4 + 2] == o[lane * 4], "turned twice %u", lane);
  }
}

void print_layouts() {
  const char* names[] = {"A m16k16, 16 bits", "B k16n8, 16 bits", "C m16n8, 32 bits"};
  for (int which = 0; which < 3; ++which) {
    std::printf("%s: lane.register[.part] of each element\n", names[which]);
    const int rows = 16, columns = which == 0 ? 16 : 8, registers = which == 1 ? 2 : 4,
              parts = which == 2 ? 1 : 2;
    std::vector<std::string> cells(rows * columns);
    for (int lane = 0; lane < 32; ++lane)
      for (int i = 0; i < registers; ++i)
        for (int part = 0; part < parts; ++part) {
          const Place p = which == 0   ? place_a(lane, i, part, 2)
                          : which == 1 ? place_b(lane, i, part, 2)
                                       : place_c(lane, i);
          cells[p.row * columns + p.column] =
              std::to_string(lane) + "." + std::to_string(i) + (parts == 2 ? "." + std::to_string(part) : "");
        }
    for (int r = 0; r < rows; ++r, std::printf("\n"))
      for (int c = 0; c < columns; ++c) std::printf("%8s", cells[r * columns + c].c_str());
    for (const std::string& cell : cells) EXPECT(!cell.empty(), "an element that no lane holds");
  }
}

int main() {
  test_mma("bf16 k16", bf16_16, kBf16, 16);
  test_mma("f16 k16", f16_16, kF16, 16);
  test_mma("bf16 k8", bf16_8, kBf16, 8);
  test_mma("f16 k8", f16_8, kF16, 8);
  test_mma("tf32 k8", tf32_8, kTf32, 8);
  test_mma("tf32 k4", tf32_4, kTf32, 4);
  test_f64();
  test_s8();
  test_ldmatrix();
  print_layouts();
  return finish();
}
