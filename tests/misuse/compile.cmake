# Compiles misuse NUMBER of SOURCE, and checks that it fails with the words EXPECTED, one error and few lines; number 0
# must compile.
set(ENV{LC_ALL} C)
execute_process(
  COMMAND ${COMPILER} -std=c++20 -fsyntax-only -fno-diagnostics-color -I${ROOT}/runtime/include -I${ROOT}/sync/include -I${ROOT}/io/include
          -DMISUSE=${NUMBER} ${SOURCE}
  RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE output)
if(NUMBER EQUAL 0)
  if(NOT result EQUAL 0)
    message(FATAL_ERROR "it does not compile:\n${output}")
  endif()
  return()
endif()
if(result EQUAL 0)
  message(FATAL_ERROR "it compiles")
endif()
string(FIND "${output}" "${EXPECTED}" at)
if(at EQUAL -1)
  message(FATAL_ERROR "the compiler does not say '${EXPECTED}':\n${output}")
endif()
string(REGEX MATCHALL "error: " errors "${output}")
list(LENGTH errors count)
string(REGEX MATCHALL "\n" lines "${output}")
list(LENGTH lines length)
if(count GREATER 1 OR length GREATER 20)
  message(FATAL_ERROR "the compiler says too much: ${count} errors, ${length} lines\n${output}")
endif()
