# How a library or the executable is made from its folder: every .cpp below it belongs to it, and with CUDA
# every .cu.

# For what runs for less time than it takes to compile: CLI11's flags at -O1 take two thirds of -O3's time,
# under clang's sanitizers at -O0 two fifths of -O1's.
set(CUCLIP_QUICK $<$<CONFIG:Release>:-O1>)
if(CUCLIP_SANITIZE)
  set(CUCLIP_QUICK -O0)
endif()

# cuclip_add_library(kernels) makes target cuclip_kernels (and cuclip::kernels) from kernels/**.cpp and .cu.
function(cuclip_add_library folder)
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cpp)
  list(FILTER sources EXCLUDE REGEX "/train/cli/|/train/experiments/|/models/api/|/core/mpi/")
  if(CUCLIP_WITH_CUDA)
    file(GLOB_RECURSE cuda_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/${folder}/*.cu)
    list(APPEND sources ${cuda_sources})
  endif()
  add_library(cuclip_${folder} ${sources})
  add_library(cuclip::${folder} ALIAS cuclip_${folder})
  # No macro of a shared library's own: its objects are those of the static one.
  set_target_properties(cuclip_${folder} PROPERTIES EXPORT_NAME ${folder} DEFINE_SYMBOL "")
  target_include_directories(cuclip_${folder} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                                     $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/cuclip>)
  target_link_libraries(cuclip_${folder} PRIVATE $<BUILD_INTERFACE:cuclip_options>)
  target_compile_features(cuclip_${folder} PUBLIC cxx_std_20)
  if(CUCLIP_SANITIZE AND folder MATCHES "^(models|train)$")
    target_compile_options(cuclip_${folder} PRIVATE ${CUCLIP_QUICK})
  endif()
endfunction()

# libcuclip_mpi.so, which carries messages by MPI (core/mpi/): only it needs MPI, and a process opens it when
# it is one of several (core/mpi_communicator.h). In build/<preset>/lib, which the executable looks into.
function(cuclip_add_mpi_plugin)
  cmake_path(RELATIVE_PATH CMAKE_INSTALL_FULL_LIBDIR BASE_DIRECTORY ${CMAKE_INSTALL_FULL_BINDIR} OUTPUT_VARIABLE folder)
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/core/mpi_communicator.cpp APPEND
               PROPERTY COMPILE_DEFINITIONS "CUCLIP_PLUGIN_FOLDER=\"${folder}\"")
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/core/control/join_control.cpp APPEND
               PROPERTY COMPILE_DEFINITIONS "CUCLIP_VERSION=\"${PROJECT_VERSION}\"")
  if(NOT MPI_CXX_FOUND OR CUCLIP_SANITIZE)
    return()
  endif()
  add_library(cuclip_mpi MODULE ${PROJECT_SOURCE_DIR}/core/mpi/plugin.cpp)
  target_include_directories(cuclip_mpi PRIVATE ${PROJECT_SOURCE_DIR})
  # MPI's C interface alone; compilers' wrappers add the library of the C++ one.
  target_link_options(cuclip_mpi PRIVATE LINKER:--as-needed)
  target_link_libraries(cuclip_mpi PRIVATE cuclip_options MPI::MPI_CXX)
  set_target_properties(cuclip_mpi PROPERTIES LIBRARY_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/lib
                                              CXX_VISIBILITY_PRESET hidden)
endfunction()

# What others embed (cuclip/cuclip.h, cuclip/cuclip_c.h), from models/api/*.cpp: cuclip::api is libcuclip.so,
# which has everything inside and shows nothing else; cuclip::api_static is libcuclip.a, for who links the
# libraries below it too. Both are of the same objects.
function(cuclip_add_api)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/models/api/*.cpp)
  add_library(cuclip_api_static STATIC ${sources})
  add_library(cuclip::api_static ALIAS cuclip_api_static)
  set_target_properties(cuclip_api_static PROPERTIES EXPORT_NAME api_static OUTPUT_NAME cuclip
                                                     CXX_VISIBILITY_PRESET hidden VISIBILITY_INLINES_HIDDEN ON)
  target_link_libraries(cuclip_api_static PRIVATE cuclip_models $<BUILD_INTERFACE:cuclip_options>)
  cuclip_api_includes(cuclip_api_static)
  # Sanitizers look at the static one: the programs that run it have to be sanitized anyway.
  if(CUCLIP_SANITIZE)
    return()
  endif()
  set(exports ${PROJECT_SOURCE_DIR}/models/api/exports.map)
  add_library(cuclip_api SHARED $<TARGET_OBJECTS:cuclip_api_static>)
  add_library(cuclip::api ALIAS cuclip_api)
  # Before 1.0 the second number changes with the binary interface.
  set_target_properties(cuclip_api PROPERTIES EXPORT_NAME api OUTPUT_NAME cuclip VERSION ${PROJECT_VERSION}
                                              SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                                              LINKER_LANGUAGE CXX LINK_DEPENDS ${exports})
  target_link_libraries(cuclip_api PRIVATE cuclip_models)
  target_link_options(cuclip_api PRIVATE LINKER:--version-script=${exports} LINKER:--no-undefined)
  cuclip_api_includes(cuclip_api)
  cuclip_find_cudart(cuclip_api)
endfunction()

# No compile features: a C project could not have those of C++.
function(cuclip_api_includes target)
  target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}/models/api/include>
                                              $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}>
                                              $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}>)
endfunction()

# The shared CUDA runtime need not be where the system looks.
function(cuclip_find_cudart target)
  if(CUCLIP_WITH_CUDA AND CMAKE_CUDA_RUNTIME_LIBRARY STREQUAL "Shared")
    set_target_properties(${target} PROPERTIES INSTALL_RPATH "${CUDAToolkit_LIBRARY_DIR}")
  endif()
endfunction()

# The executable `cuclip` from train/cli/*.cpp, in build/<preset>/bin.
function(cuclip_add_executable)
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/train/cli/*.cpp)
  add_executable(cuclip ${sources})
  set_target_properties(cuclip PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
  cuclip_find_cudart(cuclip)
  # No TSan test runs it, and it is slow to compile there.
  if(CUCLIP_SANITIZE STREQUAL "thread")
    set_target_properties(cuclip PROPERTIES EXCLUDE_FROM_ALL TRUE)
  endif()
  target_compile_options(cuclip PRIVATE ${CUCLIP_QUICK})  # flags and printing
  target_link_libraries(cuclip PRIVATE cuclip_train cuclip_options cuclip_toml CLI11::CLI11)
  target_compile_definitions(cuclip PRIVATE CUCLIP_VERSION="${PROJECT_VERSION}"
                                            CUCLIP_BUILD_TYPE="${CMAKE_BUILD_TYPE}"
                                            CUCLIP_COMPILER="${CMAKE_CXX_COMPILER_ID} ${CMAKE_CXX_COMPILER_VERSION}")
endfunction()
