# The emulator is a project of its own: what its folder holds is all that it needs. Copies the folder,
# configures the copy, and looks for anything in it that leads to the rest of the repository; its tests there
# are those that it has here. The tests of the parts are built and run in the copy; the rest would take
# minutes.
# cmake -DSOURCE=... -DROOT=... -DBUILD=... -DWORK=... -DCOMPILER=... -DGENERATOR=... -DNVCC=... -P run.cmake
# SOURCE: the emulator's folder; ROOT: the repository's; BUILD: its build with the emulator in it.
function(step output)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE code OUTPUT_VARIABLE said ERROR_VARIABLE said)
  if(NOT code EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed (${code}): ${command}\n${said}")
  endif()
  set(${output} "${said}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE ${WORK})
file(COPY ${SOURCE}/ DESTINATION ${WORK}/emulator PATTERN build EXCLUDE)

# What is included in quotes lies in the folder, and is named from there; what is in angle brackets does not
# lie in the repository.
file(GLOB_RECURSE sources RELATIVE ${WORK}/emulator ${WORK}/emulator/*)
set(includes 0)
foreach(source ${sources})
  file(STRINGS ${WORK}/emulator/${source} lines REGEX "^ *# *include")
  foreach(line ${lines})
    math(EXPR includes "${includes} + 1")
    string(REGEX MATCH "[\"<]([^\">]*)[\">]" quoted "${line}")
    set(name ${CMAKE_MATCH_1})
    if(quoted MATCHES "^\"" AND (name MATCHES "\\.\\./" OR NOT EXISTS ${WORK}/emulator/${name}))
      message(FATAL_ERROR "${source}: ${line}: \"${name}\" is not the path of a file in the emulator's folder")
    elseif(quoted MATCHES "^<" AND (EXISTS ${ROOT}/${name} OR EXISTS ${WORK}/emulator/${name}))
      message(FATAL_ERROR "${source}: ${line}: angle brackets are for what lies outside of the repository")
    endif()
  endforeach()
endforeach()
if(includes LESS 100)
  message(FATAL_ERROR "only ${includes} includes were found in ${WORK}/emulator: this test does not see its files")
endif()

# Configuring names no other file of the repository, whose toolkit may lie in it.
get_filename_component(toolkit ${NVCC} DIRECTORY)
get_filename_component(toolkit ${toolkit} DIRECTORY)
set(configure ${CMAKE_COMMAND} -S ${WORK}/emulator -G ${GENERATOR} -DCMAKE_CXX_COMPILER=${COMPILER})
step(output ${configure} -B ${WORK}/build -DEMULATOR_NVCC=${NVCC} --trace-expand --trace-format=json-v1
     --trace-redirect=${WORK}/trace)
file(READ ${WORK}/trace trace)
string(FIND "${trace}" "${WORK}/emulator/programs/basic.cu" own)
if(own EQUAL -1)
  message(FATAL_ERROR "the trace ${WORK}/trace does not show the emulator's own files")
endif()
string(REPLACE "${WORK}/emulator/../" "${ROOT}/" trace "${trace}")  # what lies beside it
string(REPLACE "${WORK}" "" trace "${trace}")
string(REPLACE "${toolkit}" "" trace "${trace}")
string(FIND "${trace}" "${ROOT}/" outside)
if(NOT outside EQUAL -1)
  string(SUBSTRING "${trace}" ${outside} 200 outside)
  message(FATAL_ERROR "configured alone, the emulator names a file outside of its folder:\n${outside}")
endif()

# The tests are the same as in the repository's build.
foreach(build ${WORK}/build ${BUILD}/tests/emulator)
  step(listed ${CMAKE_CTEST_COMMAND} --test-dir ${build} -N)
  string(REGEX MATCHALL "Test *#[0-9]+: [^\n]*" listed "${listed}")
  list(TRANSFORM listed REPLACE "^Test *#[0-9]+: " "")
  list(APPEND tests "${listed}")
  list(LENGTH listed count)
  list(APPEND counts ${count})
endforeach()
list(REMOVE_DUPLICATES tests)
list(LENGTH tests all)
list(APPEND counts ${all})
list(REMOVE_DUPLICATES counts)
if(NOT counts MATCHES "^[1-9][0-9]+$")
  message(FATAL_ERROR "tests alone, in the repository, and of either must be equally many, found ${counts}: see ctest -N in "
                      "${WORK}/build and in ${BUILD}/tests/emulator")
endif()

step(output ${configure} -B ${WORK}/parts -DEMULATOR_PARTS_ONLY=ON -DCMAKE_BUILD_TYPE=Debug)
step(output ${CMAKE_COMMAND} --build ${WORK}/parts)
step(output ${CMAKE_CTEST_COMMAND} --test-dir ${WORK}/parts --output-on-failure --no-tests=error)
file(REMOVE_RECURSE ${WORK})
