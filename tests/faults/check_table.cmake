# Every test that the table of faults names must be there: "FILE: TEST_CASE's name", in backquotes.
file(READ ${TESTS}/faults.md table)
string(REGEX MATCHALL "`[a-z_/]+_test\\.cpp: [^`]+`" tests "${table}")
list(LENGTH tests count)
if(count LESS 34)
  message(FATAL_ERROR "tests/faults.md: expected at least 34 tests as `folder/name_test.cpp: name`, found ${count}")
endif()
