# Writes one translation unit of several test files: first what they include, then each file in a namespace of its own,
# where it may call its helpers as others do theirs.
#   cmake -DOUTPUT=UNIT -DROOT=DIRECTORY "-DFILES=a/x_test.cpp,a/y_test.cpp" -P unit.cmake
string(REPLACE "," ";" files "${FILES}")
set(includes "")
set(bodies "")
foreach(file IN LISTS files)
  # Conditions come along, with those that surround no include.
  file(STRINGS "${ROOT}/${file}" lines REGEX "^#(include|if|ifdef|ifndef|elif|else|endif)")
  list(JOIN lines "\n" lines)
  string(APPEND includes "${lines}\n")
  string(REGEX REPLACE "\\.cpp$" "" name "${file}")
  string(MAKE_C_IDENTIFIER "${name}" name)
  string(APPEND bodies "namespace ${name} {\n#include \"${ROOT}/${file}\"\n}\n")
endforeach()
file(WRITE "${OUTPUT}" "${includes}\n${bodies}")
