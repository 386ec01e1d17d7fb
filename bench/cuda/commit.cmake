# Writes OUT, a header with the commit that is being built, "-dirty" with changes, when that changed.
execute_process(COMMAND git -C ${SOURCE} describe --always --dirty --abbrev=12 --exclude=*
                OUTPUT_VARIABLE commit ERROR_QUIET OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT commit)
  set(commit "unknown: not a git checkout, or git is missing")
endif()
file(CONFIGURE OUTPUT ${OUT} CONTENT [[
// Generated at each build (commit.cmake).
#pragma once

inline constexpr const char* kCommit = "@commit@";
]] @ONLY)
