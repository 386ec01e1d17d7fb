# Whether cuclip_c.h compiles by itself as C99 and as C++20, and cuclip.h as C++20, every warning an error.
# cmake -DCOMPILER=... -DSOURCE=... -DWORK=... -P c_header.cmake
file(MAKE_DIRECTORY ${WORK})
foreach(case "c;c99;cuclip_c.h" "c++;c++20;cuclip_c.h" "c++;c++20;cuclip.h")
  list(GET case 0 language)
  list(GET case 1 standard)
  list(GET case 2 header)
  set(use "#include <cuclip/${header}>\n")
  if(header STREQUAL "cuclip_c.h")
    string(APPEND use "cuclip_options options = CUCLIP_OPTIONS_INIT;\n")
  endif()
  file(WRITE ${WORK}/use.txt "${use}")
  execute_process(COMMAND ${COMPILER} -x ${language} -std=${standard} -Wall -Wextra -Wpedantic -Werror -fsyntax-only
                          -I${SOURCE}/models/api/include -I${SOURCE} ${WORK}/use.txt
                  RESULT_VARIABLE code ERROR_VARIABLE problem)
  if(NOT code EQUAL 0)
    message(FATAL_ERROR "${header} as ${standard}:\n${problem}")
  endif()
endforeach()
