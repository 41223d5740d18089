# Makes a program of the C++ blocks in DOCUMENT: OUTPUT, in which each is the body of a function, at its own line.
#   ```cpp          runs on a fiber, in virtual time
#   // in main      as its first line: runs on the program's thread
#   ```cpp shared   stands before all others, outside of functions
cmake_minimum_required(VERSION 3.25)
file(READ "${DOCUMENT}" rest)
set(shared "")
set(blocks "")
set(calls "")
set(line 1)
set(number 0)
while(TRUE)
  string(FIND "${rest}" "```cpp" at)
  if(at EQUAL -1)
    break()
  endif()
  string(SUBSTRING "${rest}" 0 ${at} skipped)
  string(SUBSTRING "${rest}" ${at} -1 rest)
  string(REGEX REPLACE "[^\n]" "" newlines "${skipped}")
  string(LENGTH "${newlines}" count)
  math(EXPR line "${line} + ${count} + 1")
  string(FIND "${rest}" "\n" end_of_fence)
  string(SUBSTRING "${rest}" 0 ${end_of_fence} fence)
  math(EXPR begin "${end_of_fence} + 1")
  string(SUBSTRING "${rest}" ${begin} -1 rest)
  string(FIND "${rest}" "```" end)
  string(SUBSTRING "${rest}" 0 ${end} block)
  math(EXPR end "${end} + 3")
  string(SUBSTRING "${rest}" ${end} -1 rest)
  set(directive "#line ${line} \"${DOCUMENT}\"\n")
  if(fence STREQUAL "```cpp shared")
    string(APPEND shared "${directive}${block}")
  else()
    math(EXPR number "${number} + 1")
    string(APPEND blocks "void block_${number}() {\n${directive}${block}}\n")
    if(block MATCHES "^// in main\n")
      string(APPEND calls "  block_${number}();\n")
    else()
      string(APPEND calls "  weft::run(block_${number}, weft::testing::in_virtual_time());\n")
    endif()
  endif()
  string(REGEX REPLACE "[^\n]" "" newlines "${block}")
  string(LENGTH "${newlines}" count)
  math(EXPR line "${line} + ${count}")
endwhile()
if(number EQUAL 0)
  message(FATAL_ERROR "no C++ blocks in ${DOCUMENT}")
endif()
file(CONFIGURE OUTPUT "${OUTPUT}" CONTENT [[
#undef NDEBUG
#include <weft/runtime/testing.hpp>
#include <weft/weft.hpp>

#include <algorithm>
#include <atomic>
#include <cassert>
#include <chrono>
#include <cstdio>
#include <numeric>
#include <ranges>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {
using namespace weft;
using namespace std::chrono_literals;

@shared@
@blocks@
}  // namespace

int main() {
@calls@  std::puts("@number@ blocks");
}
]] @ONLY)
