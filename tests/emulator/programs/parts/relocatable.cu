// The other file of programs/relocatable.cu.
__device__ int shared_with = 5;
static __device__ int mine = 200;

__device__ int twice(int x) { return 2 * x; }

__global__ void other(int* out) {
  if (threadIdx.x == 0) ++shared_with;
  __syncthreads();
  out[threadIdx.x] = threadIdx.x + shared_with + mine;
}
void use_other(int* out) { other<<<1, 32>>>(out); }
