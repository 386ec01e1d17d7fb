// What must fail, one a run: with CUDA's error for it, and one line of the emulator that says what and where.
// bad: syntax: PTX line 5: expected '.' or ';', found
// bad: instruction: kernel bad: PTX line 5: frobnicate.u32 in bad: this instruction is not supported
// bad: form: kernel bad: PTX line 5: add.rn.s7 in bad
// bad: register: kernel bad: PTX line 5: mov.u32 in bad: no register or special register %nothing
// bad: entry: the library has no entry absent
// bad: label: kernel bad: PTX line 5: no label nowhere
// bad: cut: PTX line 5: expected
// bad: machine_code: machine code without PTX
// bad: machine_fatbin: the module holds no PTX
// bad: no_file: passed
// bad: endless --max-instructions 100000: stopped after [0-9]+ warp-instructions: kernel
// bad: memory: passed
// bad: overflow --check none: access to an address that is not mapped
// bad: underflow --check none: passed
// bad: freed --check none: access to an address that is not mapped
// bad: local_overflow --check none: access to an address that is not mapped
// bad: shared_overflow --check none: access to an address that is not mapped
// bad: devices --devices 2 --patience 1: deadlock: nothing but waiting for 1 s on device 0: kernel .*wait_for.*, PTX line .*bad.cu:[0-9]+.*thread .0,0,0.*; these wait for it to end: kernel .*raise.* on device 1
// bad: enqueued_later --patience 0.5: deadlock: nothing but waiting for 0.5 s on device 0: kernel .*wait_for
// bad: mixed_syncs: deadlock: lanes of the membermask never reach this instruction
#include <cstring>
#include <functional>
#include <map>
#include <string>
#include <thread>

#include "programs/check.h"

__global__ void forever(volatile int* flag) {
  while (*flag == 0) {
  }
}

cudaError_t load(const void* image, const char* kernel_name = "bad") {
  cudaLibrary_t library;
  cudaKernel_t kernel;
  cudaError_t error = cudaLibraryLoadData(&library, image, nullptr, nullptr, 0, nullptr, nullptr, 0);
  if (error == cudaSuccess) error = cudaLibraryGetKernel(&kernel, library, kernel_name);
  if (error == cudaSuccess)
    error = cudaLaunchKernel(reinterpret_cast<void*>(kernel), dim3(1), dim3(1), nullptr, 0, nullptr);
  return error;
}
cudaError_t load_body(const std::string& body) {
  const std::string text =
      ".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry bad() { .reg .b32 %r<4>;\n" + body;
  return load(text.c_str());
}

void endless() {
  int* flag;
  CUDA(cudaMalloc(&flag, 4));
  CUDA(cudaMemset(flag, 0, 4));
  forever<<<1, 32>>>(flag);
  EXPECT(cudaDeviceSynchronize() == cudaErrorLaunchTimeout, "not stopped");
  EXPECT(cudaMalloc(&flag, 4) == cudaErrorLaunchTimeout, "the error does not stick");
}

// The host's memory is the device's: what is not there is refused, and what is there still works.
void memory() {
  std::vector<void*> all;
  cudaError_t error = cudaSuccess;
  for (int i = 0; i < 4096 && error == cudaSuccess; ++i) {
    void* p = nullptr;
    error = cudaMalloc(&p, size_t{1} << 30);
    if (error == cudaSuccess) all.push_back(p);
  }
  EXPECT(error == cudaErrorMemoryAllocation, "%s", cudaGetErrorName(error));
  EXPECT(cudaGetLastError() == cudaErrorMemoryAllocation && cudaGetLastError() == cudaSuccess, "not sticky");
  for (void* p : all) CUDA(cudaFree(p));
  void* p = nullptr;
  EXPECT(cudaMalloc(&p, size_t{1} << 50) == cudaErrorMemoryAllocation && p == nullptr, "a petabyte");
  CUDA(cudaMalloc(&p, 1 << 20));
  CUDA(cudaFree(p));
}

// What the checks are off for goes wrong in the device's memory, and never in the host's.
__global__ void fill(float* out, long long from, int count) {
  for (int i = 0; i < count; ++i) out[from + i] = 1;
}
__global__ void fill_local(float* out, int count) {
  float cells[8];
  for (int i = 0; i < count; ++i) reinterpret_cast<volatile float*>(cells)[i] = 1;
  out[0] = reinterpret_cast<volatile float*>(cells)[count % 8];
}
__global__ void fill_shared(float* out, int count) {
  __shared__ float cells[8];
  for (int i = 0; i < count; ++i) reinterpret_cast<volatile float*>(cells)[i] = 1;
  out[0] = reinterpret_cast<volatile float*>(cells)[count % 8];
}

// The host's heap, with blocks of every size in it, before and after.
void unchecked(const std::function<void(float*)>& launch, cudaError_t expected) {
  std::vector<std::vector<char>> blocks;
  for (size_t size = 16; size < 1 << 20; size *= 2) blocks.push_back(std::vector<char>(size, 'x'));
  float* out;
  CUDA(cudaMalloc(&out, 1024));
  for (size_t size = 16; size < 1 << 20; size *= 2) blocks.push_back(std::vector<char>(size, 'x'));
  launch(out);
  const cudaError_t got = cudaDeviceSynchronize();
  EXPECT(got == expected, "%s", cudaGetErrorName(got));
  for (const auto& block : blocks)
    EXPECT(block == std::vector<char>(block.size(), 'x'), "the host's heap is hit");
}

// A kernel cannot wait for another one: neither for one on another device, nor for one that comes after it.
__global__ void wait_for(volatile int* flag) {
  while (*flag == 0) {
  }
}
__global__ void announce_and_wait_for(volatile int* flag) {
  flag[0] = 1;
  while (flag[1] == 0) {
  }
}
__global__ void raise(volatile int* flag) { *flag = 1; }

void devices() {
  int* flag;
  CUDA(cudaMallocManaged(&flag, 8));
  flag[0] = flag[1] = 0;
  std::thread other([&] {
    CUDA(cudaSetDevice(1));
    while (*static_cast<volatile int*>(flag) == 0) {
    }
    raise<<<1, 1>>>(flag + 1);
  });
  CUDA(cudaSetDevice(0));
  announce_and_wait_for<<<1, 1>>>(flag);
  EXPECT(cudaDeviceSynchronize() == cudaErrorLaunchTimeout, "not stopped");
  other.join();
}

void enqueued_later() {
  int* flag;
  CUDA(cudaMalloc(&flag, 4));
  CUDA(cudaMemset(flag, 0, 4));
  cudaStream_t other;
  CUDA(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking));
  wait_for<<<1, 1>>>(flag);
  raise<<<1, 1, 0, other>>>(flag);
  EXPECT(cudaDeviceSynchronize() == cudaErrorLaunchTimeout, "not stopped");
}

// One lane at one kind of instruction, the others at another: none of them continues without the other.
__global__ void mixed(int* out) {
  int r = 0;
  if (threadIdx.x == 0) {
    asm volatile("bar.warp.sync 0xffffffff;");
  } else {
    asm volatile("{ .reg .pred p; vote.sync.all.pred p, 1, 0xffffffff; selp.s32 %0, 1, 0, p; }" : "=r"(r));
  }
  out[threadIdx.x] = r;
}
void mixed_syncs() {
  int* out;
  CUDA(cudaMalloc(&out, 128));
  mixed<<<1, 32>>>(out);
  EXPECT(cudaDeviceSynchronize() == cudaErrorLaunchTimeout, "not stopped");
}

cudaError_t machine_fatbin() {
  uint8_t image[256] = {};
  const uint32_t magic = 0xba55ed50, header = 64;
  const uint16_t version = 1, size = 16, machine = 2;
  const uint64_t total = 128, payload = 64;
  std::memcpy(image, &magic, 4);
  std::memcpy(image + 4, &version, 2);
  std::memcpy(image + 6, &size, 2);
  std::memcpy(image + 8, &total, 8);
  std::memcpy(image + 16, &machine, 2);
  std::memcpy(image + 20, &header, 4);
  std::memcpy(image + 24, &payload, 8);
  return load(image);
}

int main(int, char** arguments) {
  const std::string name = arguments[1];
  cudaError_t got = cudaSuccess, expected = cudaErrorInvalidPtx;
  if (name == "syntax") got = load_body("add.s32 %r1 %r2, %r3; ret; }");
  if (name == "instruction") got = load_body("frobnicate.u32 %r1, %r2; ret; }");
  if (name == "form") got = load_body("add.rn.s7 %r1, %r2, %r3; ret; }");
  if (name == "register") got = load_body("mov.u32 %r1, %nothing; ret; }");
  if (name == "label") got = load_body("bra nowhere; ret; }");
  if (name == "cut") got = load_body("mov.u32 %r1,");
  if (name == "entry") {
    got = load(".version 9.0\n.target sm_80\n.address_size 64\n.visible .entry bad() { ret; }", "absent");
    expected = cudaErrorSymbolNotFound;
  }
  if (name == "machine_code") {
    got = load(
        "\x7f"
        "ELF and more");
    expected = cudaErrorNoKernelImageForDevice;
  }
  if (name == "machine_fatbin") {
    got = machine_fatbin();
    expected = cudaErrorNoKernelImageForDevice;
  }
  if (name == "no_file") {
    cudaLibrary_t library;
    got = cudaLibraryLoadFromFile(&library, "/nonexistent.ptx", nullptr, nullptr, 0, nullptr, nullptr, 0);
    expected = cudaErrorFileNotFound;
  }
  const std::map<std::string, std::function<void()>> whole{
      {"memory", memory},
      {"endless", endless},
      {"devices", devices},
      {"enqueued_later", enqueued_later},
      {"mixed_syncs", mixed_syncs},
      {"overflow",
       [] { unchecked([](float* out) { fill<<<1, 1>>>(out, 0, 4096); }, cudaErrorIllegalAddress); }},
      {"underflow", [] { unchecked([](float* out) { fill<<<1, 1>>>(out, -64, 64); }, cudaSuccess); }},
      {"freed",
       [] {
         unchecked([](float* out) { cudaFree(out), fill<<<1, 1>>>(out, 0, 1); }, cudaErrorIllegalAddress);
       }},
      {"local_overflow",
       [] { unchecked([](float* out) { fill_local<<<1, 1>>>(out, 1 << 20); }, cudaErrorIllegalAddress); }},
      {"shared_overflow",
       [] { unchecked([](float* out) { fill_shared<<<1, 1>>>(out, 1 << 20); }, cudaErrorIllegalAddress); }},
  };
  if (const auto found = whole.find(name); found != whole.end()) {
    found->second();
    return finish();
  }
  EXPECT(got == expected, "%s gives %s", name.c_str(), cudaGetErrorName(got));
  return finish();
}
