# CUDA in the build. -DCUCLIP_CUDA=AUTO takes it where nvcc is found, ON insists on it, OFF leaves it out: a
# call on Device::cuda then says so. Sets CUCLIP_NVCC (also for the emulator's test programs) and
# CUCLIP_WITH_CUDA.
set(CUCLIP_CUDA AUTO CACHE STRING "CUDA kernels: AUTO (where nvcc is found), ON or OFF")
set_property(CACHE CUCLIP_CUDA PROPERTY STRINGS AUTO ON OFF)
find_program(CUCLIP_NVCC nvcc HINTS /usr/local/cuda/bin ${PROJECT_SOURCE_DIR}/build/cuda-toolkit/bin)

set(CUCLIP_WITH_CUDA OFF)
if(CUCLIP_CUDA STREQUAL "AUTO" AND CUCLIP_NVCC AND NOT CUCLIP_SANITIZE)
  set(CUCLIP_WITH_CUDA ON)
elseif(CUCLIP_CUDA AND NOT CUCLIP_CUDA STREQUAL "AUTO")
  if(NOT CUCLIP_NVCC AND NOT CMAKE_CUDA_COMPILER)
    message(FATAL_ERROR "CUCLIP_CUDA=${CUCLIP_CUDA}, but nvcc was not found: put it on PATH, set CMAKE_CUDA_COMPILER, or "
                        "build with -DCUCLIP_CUDA=OFF")
  endif()
  set(CUCLIP_WITH_CUDA ON)
endif()
if(NOT CUCLIP_WITH_CUDA)
  return()
endif()
if(CUCLIP_SANITIZE)
  message(FATAL_ERROR "CUCLIP_SANITIZE and CUDA exclude each other: the sanitizers do not support device code")
endif()

if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_COMPILER ${CUCLIP_NVCC})
endif()
# A100; RTX 30 and A10; RTX 40 and L4; H100; B200; RTX 50. PTX of the oldest for those between that run no
# other's code (Jetson Orin sm_87 and Thor sm_110), of the newest for what comes after.
# tests/cuda/images_test.py checks the list.
set(cuclip_gpu_architectures 80 86-real 89-real 90-real 100-real 120)
if(NOT CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  set(CMAKE_CUDA_ARCHITECTURES ${cuclip_gpu_architectures})
endif()
if(CCACHE_PROGRAM AND NOT CMAKE_CUDA_COMPILER_LAUNCHER)
  set(CMAKE_CUDA_COMPILER_LAUNCHER ${CCACHE_PROGRAM})
endif()
enable_language(CUDA)
# CMake 3.25 knows CUDA up to C++17 and would drop a standard of 20 without a word.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_COMPILE_FEATURES cuda_std_20)
  list(APPEND CMAKE_CUDA_COMPILE_FEATURES cuda_std_20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
include(${CMAKE_CURRENT_LIST_DIR}/cuda_toolkit.cmake)
if(NOT CUDAToolkit_FOUND)
  message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} was found, but not the CUDA toolkit that it belongs to: set CUDAToolkit_ROOT, "
                      "or build with -DCUCLIP_CUDA=OFF")
endif()
if(CMAKE_CUDA_RUNTIME_LIBRARY STREQUAL "Shared")
  set(CUCLIP_CUDART CUDA::cudart)
else()
  set(CUCLIP_CUDART CUDA::cudart_static)
endif()

# For every .cu: constexpr functions serve both sides; warnings are errors where they are in C++
# (CMakeLists.txt), and profilers and the emulator's reports find the source line.
add_library(cuclip_cuda_options INTERFACE)
if(CUCLIP_BUILD_TESTS)
  set(device_errors "-Werror=all-warnings;")
  set(host_errors ",-Werror")
endif()
# fmt 9 takes nvcc for too old for constexpr, and its checks of format strings fail without.
target_compile_definitions(cuclip_cuda_options INTERFACE $<$<COMPILE_LANGUAGE:CUDA>:FMT_USE_CONSTEXPR=1>)
target_compile_options(cuclip_cuda_options INTERFACE
  "$<$<COMPILE_LANGUAGE:CUDA>:${device_errors}--expt-relaxed-constexpr;-lineinfo;-Xcompiler=-march=x86-64-v2,-Wall,-Wextra${host_errors}>")
