# README quotes SOURCE up to what it prints.
file(READ "${SOURCE}" source)
file(READ "${README}" readme)
string(REGEX REPLACE "\n// Prints:.*$" "" source "${source}")
string(FIND "${readme}" "```cpp\n${source}```" at)
if(at EQUAL -1)
  message(FATAL_ERROR "README.md does not quote examples/readme.cpp as it is")
endif()
