// Built twice: as a whole cuBLAS of two functions, and as a program that was linked with it.
#ifdef WHOLE
extern "C" int cublasCreate_v2(void**) { return 0; }
extern "C" int cublasDgemv_v2(void*) { return 0; }
#else
#include <cstdio>

extern "C" int cublasCreate_v2(void**);
extern "C" int cublasDgemv_v2(void*);
int main(int count, char**) {
  if (count > 1) return cublasDgemv_v2(nullptr) + cublasCreate_v2(nullptr);
  std::puts("passed");
  return 0;
}
#endif
