# Tests on CUDA. On the emulator (preset cuda-ptx; label "emulated") a program runs with every check, its
# warps in one random order (a new seed at each configuration, in the test's command line), on the cases that
# tests/support/kernel_test.h's cases_here leaves; the campaign labelled "slow" runs all cases in 20 random
# orders, and the former in the order of the warps' numbers. Other builds run it on the GPU (label "gpu")
# where there is one, under compute-sanitizer where that is installed.

if(CMAKE_CUDA_RUNTIME_LIBRARY STREQUAL "Shared" AND CMAKE_CUDA_ARCHITECTURES MATCHES "^[0-9]+-virtual$")
  set(cuda_tests emulated)
elseif(EXISTS /dev/nvidiactl)
  set(cuda_tests gpu)
  find_program(CUCLIP_COMPUTE_SANITIZER compute-sanitizer HINTS ${CUDAToolkit_BIN_DIR})
else()
  set(cuda_tests none)
endif()
set(emulate ${CMAKE_CURRENT_SOURCE_DIR}/emulator/emulate --library ${CMAKE_CURRENT_BINARY_DIR}/emulator/lib)
# 4 GiB of memory: tests that fill the device need not fill much.
set(emulate_checked ${emulate} --check full --error-exitcode 9 --memory 4096)

# cuclip_add_cuda_test(layer_norm_test): that program again, on CUDA.
function(cuclip_add_cuda_test program)
  set_property(GLOBAL APPEND PROPERTY cuclip_cuda_tests ${program})
  if(cuda_tests STREQUAL "emulated" AND program STREQUAL "large_test")  # the ends of tensors of gigabytes
    add_test(NAME large_test_emulated COMMAND ${emulate} --check none --blocks 64 $<TARGET_FILE:large_test>)
    set_tests_properties(large_test_emulated PROPERTIES LABELS emulated TIMEOUT 600 SKIP_RETURN_CODE ${all_skipped}
                                                        ENVIRONMENT CUCLIP_TEST_DEVICE=cuda)
  elseif(cuda_tests STREQUAL "emulated")
    string(RANDOM LENGTH 6 ALPHABET 123456789 seed)
    add_test(NAME ${program}_emulated COMMAND ${emulate_checked} --schedule random:${seed} $<TARGET_FILE:${program}>)
    add_test(NAME ${program}_emulated_slow_in_order COMMAND ${emulate_checked} $<TARGET_FILE:${program}>)
    set_tests_properties(${program}_emulated ${program}_emulated_slow_in_order
                         PROPERTIES LABELS emulated TIMEOUT 600 SKIP_RETURN_CODE ${all_skipped}
                                    ENVIRONMENT "CUCLIP_TEST_DEVICE=cuda;CUCLIP_TEST_REDUCED=1")
    set_property(TEST ${program}_emulated_slow_in_order APPEND PROPERTY LABELS slow)
    foreach(schedule RANGE 1 20)
      add_test(NAME ${program}_emulated_slow_${schedule}
               COMMAND ${emulate_checked} --schedule random:${seed}${schedule} $<TARGET_FILE:${program}>)
      set_tests_properties(${program}_emulated_slow_${schedule}
                           PROPERTIES LABELS "emulated;slow" TIMEOUT 3600 SKIP_RETURN_CODE ${all_skipped}
                                      ENVIRONMENT CUCLIP_TEST_DEVICE=cuda)
    endforeach()
  elseif(cuda_tests STREQUAL "gpu")
    add_test(NAME ${program}_gpu COMMAND ${program})
    set_tests_properties(${program}_gpu PROPERTIES LABELS gpu TIMEOUT 600 SKIP_RETURN_CODE ${all_skipped}
                                                    ENVIRONMENT CUCLIP_TEST_DEVICE=cuda)
    foreach(tool memcheck racecheck initcheck)
      if(CUCLIP_COMPUTE_SANITIZER)
        add_test(NAME ${program}_gpu_${tool}
                 COMMAND ${CUCLIP_COMPUTE_SANITIZER} --tool ${tool} --error-exitcode 9 $<TARGET_FILE:${program}>)
        set_tests_properties(${program}_gpu_${tool} PROPERTIES LABELS gpu TIMEOUT 3600 RUN_SERIAL TRUE
                             SKIP_RETURN_CODE ${all_skipped}
                             ENVIRONMENT "CUCLIP_TEST_DEVICE=cuda;CUCLIP_TEST_REDUCED=1")
      endif()
    endforeach()
  endif()
endfunction()

# What the kernels move and compute, against their targets (docs/performance.md).
file(GLOB sources CONFIGURE_DEPENDS cuda_counts/*.cpp)
add_executable(cuda_counts ${sources})
target_link_libraries(cuda_counts PRIVATE cuclip_kernels cuclip_options)
set_target_properties(cuda_counts PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/bin)
if(cuda_tests STREQUAL "emulated")
  add_test(NAME kernel_counts COMMAND ${PROJECT_SOURCE_DIR}/scripts/kernel_counts ${PROJECT_BINARY_DIR})
  set_tests_properties(kernel_counts PROPERTIES LABELS emulated TIMEOUT 600)
  # What their main loops consist of in machine code, against what is recorded.
  add_test(NAME machine_code COMMAND ${CMAKE_CURRENT_SOURCE_DIR}/cuda/machine_code_test.py ${PROJECT_BINARY_DIR})
  set_tests_properties(machine_code PROPERTIES LABELS emulated TIMEOUT 600 SKIP_RETURN_CODE ${all_skipped})
  if(CUCLIP_BUILD_BENCH)
    add_subdirectory(bench)
  endif()
endif()
