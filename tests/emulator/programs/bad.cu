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
#include <cstring>
#include <string>

#include "check.h"

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

// The host's memory is the device's: what is not there is refused, and what is, goes on working.
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
  if (name == "endless" || name == "memory") {
    name == "memory" ? memory() : endless();
    return finish();
  }
  EXPECT(got == expected, "%s gives %s", name.c_str(), cudaGetErrorName(got));
  return finish();
}
