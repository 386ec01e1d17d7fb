// arch: 80 80-G
// run: --check full --error-exitcode 9 --threads 2
// run: --check full --error-exitcode 9 --threads 1 --schedule random:2
// Code that looks wrong but is correct: no check may fire.
#include "programs/check.h"

// Words of structures have bytes that nobody writes.
struct Padded {
  char flag;
  long long value;
};
__global__ void padding(Padded* out) {
  __shared__ Padded cells[64];
  cells[threadIdx.x].flag = threadIdx.x % 2;
  cells[threadIdx.x].value = threadIdx.x;
  __syncthreads();
  const auto* words = reinterpret_cast<volatile long long*>(&cells[threadIdx.x ^ 32]);
  auto* to = reinterpret_cast<long long*>(out + threadIdx.x);
  const long long first = words[0];
  to[0] = first;
  to[1] = words[1];
  if ((first & 1) != 0) out[threadIdx.x].value *= -1;
}

// A bit field is put into a word that nobody has written (in memory where the compiler does not optimise).
struct Fields {
  unsigned kind : 8, size : 24;
  unsigned short first : 1, second : 3, rest : 12;
};
__global__ void bit_fields(unsigned* out) {
  Fields fields;
  fields.size = threadIdx.x + 3;
  fields.second = threadIdx.x & 7;
  out[threadIdx.x] = fields.size;
  out[threadIdx.x + 32] = fields.second;
}

// Both sides of && and || are evaluated, one decides.
__global__ void short_circuit(const int* in, int* out, int n) {
  __shared__ int cells[64];
  volatile int* at = cells;
  if (threadIdx.x < n) at[threadIdx.x] = in[threadIdx.x];
  __syncthreads();
  const int value = at[threadIdx.x];
  int taken, also;
  asm volatile(
      "{ .reg .pred p, q, r; setp.gt.s32 p, %2, 3; setp.lt.s32 q, %3, %4; and.pred r, q, p; selp.s32 %0, 1, "
      "0, r;\n"
      "  not.pred q, q; or.pred r, p, q; setp.gt.or.s32 p, %2, 5, q; and.pred r, r, p; selp.s32 %1, 1, 0, r; "
      "}"
      : "=r"(taken), "=r"(also)
      : "r"(value), "r"(int(threadIdx.x)), "r"(n));
  out[threadIdx.x] = taken + 2 * also;
}

// A shuffle gives what another lane has.
__global__ void from_the_first(int* out) {
  __shared__ int cells[32];
  volatile int* at = cells;
  if (threadIdx.x == 0) at[0] = 5;
  __syncwarp();
  out[threadIdx.x] = __shfl_sync(0xffffffffu, at[threadIdx.x], 0);
}

// Each warp clears its bit of a word that nobody has written.
__global__ void clear_bits(unsigned* out) {
  __shared__ unsigned word;
  if (threadIdx.x % 32 == 0) atomicAnd(&word, ~(1u << threadIdx.x / 32));
  __syncthreads();
  out[threadIdx.x] = word & 3;
}

// Each block moves its part down after the block before has said that it has read its own: what has been read
// needs no fence.
__global__ void move_down(int* cells, int* said) {
  const int block = blockIdx.x, width = blockDim.x;
  const int value = cells[block * width + threadIdx.x];
  __syncthreads();
  if (threadIdx.x == 0) {
    volatile int* flag = said;
    while (block > 0 && flag[block - 1] == 0) __nanosleep(20);
    flag[block] = 1;
  }
  __syncthreads();
  if (block > 0) cells[block * width - width / 2 + threadIdx.x] = value + 1;
}

// Device memory that one warp frees and the next one gets.
__global__ void hand_down(int* out) {
  for (int i = 0; i < 4; ++i) {
    int* cell = new int(threadIdx.x);
    out[threadIdx.x] = *cell;
    delete cell;
  }
}

int main() {
  Device<Padded> padded(64);
  padding<<<1, 64>>>(padded);
  const auto p = padded.host();
  for (int i = 0; i < 64; ++i) EXPECT(p[i].value == (i % 2 ? -(i ^ 32) : i ^ 32), "padding %d", i);
  Device<unsigned> fields(64);
  bit_fields<<<1, 32>>>(fields);
  for (unsigned i = 0; i < 32; ++i)
    EXPECT(fields.host()[i] == i + 3 && fields.host()[i + 32] == i % 8, "bit fields %u", i);
  std::vector<int> values(64);
  for (int& value : values) value = static_cast<int>(rng()() % 8);
  Device<int> in(values), out(64);
  short_circuit<<<1, 64>>>(in, out, 40);
  auto o = out.host();
  for (int i = 0; i < 64; ++i) {
    const int expected = i < 40 ? (values[i] > 3) + 2 * (values[i] > 5) : 2;
    EXPECT(o[i] == expected, "short_circuit %d: %d, expected %d", i, o[i], expected);
  }
  from_the_first<<<1, 32>>>(out);
  o = out.host();
  for (int i = 0; i < 32; ++i) EXPECT(o[i] == 5, "from_the_first %d: %d", i, o[i]);
  clear_bits<<<1, 64>>>(reinterpret_cast<unsigned*>(out.data));
  o = out.host();
  for (int i = 0; i < 64; ++i) EXPECT(o[i] == 0, "clear_bits %d: %d", i, o[i]);
  hand_down<<<1, 64>>>(out);
  o = out.host();
  for (int i = 0; i < 64; ++i) EXPECT(o[i] == i, "hand_down %d: %d", i, o[i]);
  constexpr int kBlocks = 6, kWidth = 64;
  std::vector<int> numbers(kBlocks * kWidth);
  for (size_t i = 0; i < numbers.size(); ++i) numbers[i] = static_cast<int>(i);
  Device<int> cells(numbers), said(std::vector<int>(kBlocks, 0));
  move_down<<<kBlocks, kWidth>>>(cells, said);
  o = cells.host();
  for (int i = kWidth / 2; i < (kBlocks - 1) * kWidth + kWidth / 2; ++i)
    EXPECT(o[i] == i + kWidth / 2 + 1, "move_down %d: %d", i, o[i]);
  return finish();
}
