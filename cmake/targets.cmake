# How a library or the executable is made from its folder: every .cpp below it belongs to it, and with CUDA
# every .cu.

# cuclip_add_library(kernels) makes target cuclip_kernels (and cuclip::kernels) from kernels/**.cpp and .cu.
function(cuclip_add_library folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/train/cli/")
  if(CUCLIP_WITH_CUDA)
    file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cu)
    list(APPEND sources ${cuda_sources})
  endif()
  add_library(cuclip_${folder} ${sources})
  add_library(cuclip::${folder} ALIAS cuclip_${folder})
  set_target_properties(cuclip_${folder} PROPERTIES EXPORT_NAME ${folder})
  target_include_directories(cuclip_${folder} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                     $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/cuclip>)
  target_link_libraries(cuclip_${folder} PRIVATE $<BUILD_INTERFACE:cuclip_options>)
  target_compile_features(cuclip_${folder} PUBLIC cxx_std_20)
endfunction()

# The executable `cuclip` from train/cli/*.cpp, in build/<preset>/bin.
function(cuclip_add_executable)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/train/cli/*.cpp)
  add_executable(cuclip ${sources})
  set_target_properties(cuclip PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  # The shared runtime need not be where the system looks.
  if(CUCLIP_WITH_CUDA AND CMAKE_CUDA_RUNTIME_LIBRARY STREQUAL "Shared")
    set_target_properties(cuclip PROPERTIES INSTALL_RPATH "${CUDAToolkit_LIBRARY_DIR}")
  endif()
  # No TSan test runs it, and it is slow to compile there.
  if(CUCLIP_SANITIZE STREQUAL "thread")
    set_target_properties(cuclip PROPERTIES EXCLUDE_FROM_ALL TRUE)
  endif()
  # Flags and printing: at -O3 CLI11 takes a third longer to compile.
  target_compile_options(cuclip PRIVATE $<$<CONFIG:Release>:-O1>)
  target_link_libraries(cuclip PRIVATE cuclip_train cuclip_options cuclip_toml CLI11::CLI11)
  target_compile_definitions(cuclip PRIVATE CUCLIP_VERSION="${PROJECT_VERSION}"
                                            CUCLIP_BUILD_TYPE="${CMAKE_BUILD_TYPE}"
                                            CUCLIP_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endfunction()
