# Installs the build into a temporary prefix, builds tests/consumer and tests/consumer/inference against it,
# and runs them.
# cmake -DBUILD=... -DLIBRARY=... -DSOURCE=... -DWORK=... -DCOMPILER=... -DGENERATOR=... -DTYPE=...
#       -DTOOLKIT=... -DLIBDIR=... -P run.cmake
# LIBRARY: its sources, SOURCE: this folder. TOOLKIT: the CUDA toolkit of the build, which need not be where
# CMake looks; empty without CUDA. LIBDIR: where the prefix has its libraries.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

function(step)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed (${code}): ${command}\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
step(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
     -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=${TYPE} -DCUDAToolkit_ROOT=${TOOLKIT} -DLIBRARY=${LIBRARY})
# A project that can do without cuclip configures without it where the toolkit that cuclip was built with is
# missing.
if(TOOLKIT)
  step(${CMAKE_COMMAND} -S ${SOURCE}/optional -B ${WORK}/optional -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
       -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON)
endif()
# Who only runs models needs, and links, nothing of training.
step(${CMAKE_COMMAND} -S ${SOURCE}/inference -B ${WORK}/inference -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
     -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=${TYPE} -DCUDAToolkit_ROOT=${TOOLKIT}
     -DCMAKE_DISABLE_FIND_PACKAGE_LibArchive=ON -DCMAKE_DISABLE_FIND_PACKAGE_pugixml=ON)
step(${CMAKE_COMMAND} --build ${WORK}/inference --verbose)
string(REPLACE ${WORK} "" links "${output}")  # the folders' names are not ours
if(NOT links MATCHES "libcuclip_models")
  message(FATAL_ERROR "cannot see what the program links:\n${output}")
endif()
if(links MATCHES "cuclip_train|archive|pugixml")
  message(FATAL_ERROR "the program links ${CMAKE_MATCH_0}, which only training needs:\n${output}")
endif()
step(${WORK}/inference/inference ${WORK}/inference)

include(${SOURCE}/examples.cmake)

step(${CMAKE_COMMAND} --build ${WORK}/build)
step(${WORK}/build/consumer)
step(${WORK}/build/training)
step(${WORK}/prefix/bin/cuclip --version)
file(REMOVE_RECURSE ${WORK})  # the installed libraries are large
