# Installs the build into a temporary prefix, builds tests/consumer against it, and runs that.
# cmake -DBUILD=... -DSOURCE=... -DWORK=... -DCOMPILER=... -DGENERATOR=... -DTYPE=... -DTOOLKIT=... -P run.cmake
# TOOLKIT: the CUDA toolkit of the build, which need not be where CMake looks; empty without CUDA.
file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK})

function(step)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    list(JOIN ARGV " " command)
    message(FATAL_ERROR "failed (${code}): ${command}\n${output}")
  endif()
endfunction()

step(${CMAKE_COMMAND} --install ${BUILD} --prefix ${WORK}/prefix)
step(${CMAKE_COMMAND} -S ${SOURCE} -B ${WORK}/build -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
     -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_BUILD_TYPE=${TYPE} -DCUDAToolkit_ROOT=${TOOLKIT})
# Who can do without cuclip goes on without it where the toolkit is missing that it was built with.
if(TOOLKIT)
  step(${CMAKE_COMMAND} -S ${SOURCE}/optional -B ${WORK}/optional -G ${GENERATOR} -DCMAKE_PREFIX_PATH=${WORK}/prefix
       -DCMAKE_CXX_COMPILER=${COMPILER} -DCMAKE_DISABLE_FIND_PACKAGE_CUDAToolkit=ON)
endif()
step(${CMAKE_COMMAND} --build ${WORK}/build)
step(${WORK}/build/consumer)
step(${WORK}/prefix/bin/cuclip --version)
file(REMOVE_RECURSE ${WORK})  # the installed libraries are large
