# A user's build reads nothing of the tests, so it must not require the tests' libraries: configures cuclip as
# users do (preset cpu; no preset; as a part of an outside project) and looks through CMake's trace for files
# under tests/. And a newer compiler's warnings do not stop it.
# cmake -DSOURCE=... -DWORK=... -DCOMPILER=... -DGENERATOR=... -P run.cmake
function(configure name)
  set(trace ${WORK}/${name}.trace)
  execute_process(COMMAND ${CMAKE_COMMAND} -B ${WORK}/${name} -DCMAKE_CXX_COMPILER=${COMPILER}
                          -DCMAKE_EXPORT_COMPILE_COMMANDS=ON --trace-format=json-v1
                          --trace-redirect=${trace} ${ARGN}
                  WORKING_DIRECTORY ${SOURCE} RESULT_VARIABLE code OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${name}: configuring failed (${code})\n${output}")
  endif()
  file(READ ${trace} lines)
  string(FIND "${lines}" "\"file\":\"${SOURCE}/cmake/dependencies.cmake\"" library)
  if(library EQUAL -1)
    message(FATAL_ERROR "${name}: the trace ${trace} does not show the library's own CMake files")
  endif()
  string(FIND "${lines}" "\"file\":\"${SOURCE}/tests/" tests)
  if(NOT tests EQUAL -1)
    string(SUBSTRING "${lines}" ${tests} 200 tests)
    message(FATAL_ERROR "${name}: a user's build configures the tests:\n${tests}")
  endif()
  file(READ ${WORK}/${name}/compile_commands.json commands)
  if(NOT commands MATCHES "-Wall" OR commands MATCHES "-Werror")
    message(FATAL_ERROR "${name}: a user's build must show warnings, and not take them for errors")
  endif()
endfunction()

file(REMOVE_RECURSE ${WORK})
file(MAKE_DIRECTORY ${WORK}/outside)
configure(preset --preset cpu)
configure(plain -G ${GENERATOR} -S ${SOURCE})
file(WRITE ${WORK}/outside/CMakeLists.txt "cmake_minimum_required(VERSION 3.25)\n"
                                          "project(outside LANGUAGES CXX)\n"
                                          "add_subdirectory(${SOURCE} cuclip)\n"
                                          "add_executable(app app.cpp)\n"
                                          "target_link_libraries(app PRIVATE cuclip::models)\n")
file(WRITE ${WORK}/outside/app.cpp "int main() {}\n")
configure(subproject -G ${GENERATOR} -S ${WORK}/outside)
file(REMOVE_RECURSE ${WORK})
