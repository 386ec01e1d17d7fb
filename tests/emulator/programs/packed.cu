// run:
// run: --check full --error-exitcode 9
// Pointers in packed structures, which nvcc initialises byte by byte: 0xFF(generic(target)),
// 0xFF00(generic(target)), ...
#include "programs/check.h"

#pragma pack(push, 1)
struct One {
  char mark;
  int* pointer;
};
struct Two {
  short mark;
  const int* pointers[2];
  char end;
};
#pragma pack(pop)

__device__ int target = 77;
__device__ int targets[300] = {1, 2, 3};
__device__ One one = {1, &target};
__device__ Two two[2] = {{5, {&targets[1], &targets[299]}, 'a'}, {6, {&target, nullptr}, 'b'}};
__constant__ One constant = {9, targets};
__managed__ One managed = {8, &target};
__managed__ int plain = 12;

__global__ void read(int* out) {
  targets[299] = 88;
  const int found[] = {one.mark,
                       *one.pointer,
                       two[0].mark,
                       *two[0].pointers[0],
                       *two[0].pointers[1],
                       two[0].end,
                       two[1].mark,
                       *two[1].pointers[0],
                       two[1].pointers[1] == nullptr,
                       two[1].end,
                       constant.mark,
                       *constant.pointer,
                       managed.mark,
                       *managed.pointer,
                       plain};
  for (int i = 0; i < 15; ++i) out[i] = found[i];
}

int main() {
  EXPECT(managed.mark == 8 && plain == 12, "managed: %d %d", managed.mark, plain);
  Device<int> out(15);
  read<<<1, 1>>>(out);
  CUDA(cudaDeviceSynchronize());
  EXPECT(out.host() == std::vector<int>({1, 77, 5, 2, 88, 'a', 6, 77, 1, 'b', 9, 1, 8, 77, 12}),
         "wrong values");
  return finish();
}
