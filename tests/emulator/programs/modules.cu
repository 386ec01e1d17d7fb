// Loads PTX modules, runs the kernel k(in, out) of each and prints what it left; modules_test.py says how it
// is called.
// Usage: modules FILE THREADS BYTES [FILE THREADS BYTES]...
#include <fstream>
#include <sstream>
#include <string>

#include "programs/check.h"

std::string run(const char* path, unsigned threads, size_t bytes) {
  std::stringstream text;
  text << std::ifstream(path).rdbuf();
  cudaLibrary_t library;
  cudaKernel_t kernel;
  cudaError_t error =
      cudaLibraryLoadData(&library, text.str().c_str(), nullptr, nullptr, 0, nullptr, nullptr, 0);
  if (error == cudaSuccess) error = cudaLibraryGetKernel(&kernel, library, "k");
  if (error != cudaSuccess) return cudaGetErrorName(error);
  Device<unsigned char> out(bytes);
  CUDA(cudaMemset(out, 0, bytes));
  void* arguments[] = {&out.data, &out.data};
  error = cudaLaunchKernel(reinterpret_cast<void*>(kernel), dim3(1), dim3(threads), arguments, 0, nullptr);
  if (error == cudaSuccess) error = cudaDeviceSynchronize();
  if (error != cudaSuccess) return cudaGetErrorName(error);
  std::string hex;
  for (const unsigned char byte : out.host()) {
    hex += "0123456789abcdef"[byte >> 4];
    hex += "0123456789abcdef"[byte & 15];
  }
  CUDA(cudaLibraryUnload(library));
  return hex;
}

int main(int count, char** arguments) {
  for (int i = 1; i + 2 < count; i += 3) {
    const std::string result = run(arguments[i], std::atoi(arguments[i + 1]), std::atoi(arguments[i + 2]));
    std::printf("== %s\n", result.c_str());
    cudaGetLastError();
  }
  return 0;
}
