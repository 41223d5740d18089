# Builds and runs the consumer.
#   WAY installed     against what `cmake --install` puts into a prefix, by find_package and by pkg-config
#   WAY subdirectory  with weft's sources in its own build, by add_subdirectory
#   WAY fetched       the same by FetchContent, compiled for shadow stacks and branch tracking (H17)
#   WAY shared        as subdirectory, a shared library without RTTI, compiled for branch tracking; then against that
#                     library, installed
# Each builds the library once, so that what does not depend on another is tested together with it.
set(consumer "${CMAKE_CURRENT_LIST_DIR}/consumer")
file(REMOVE_RECURSE "${WORK}")

function(run)
  execute_process(COMMAND ${ARGV} COMMAND_ECHO STDOUT RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "exit status ${status}")
  endif()
endfunction()

# In few translation units and without debug information, for speed: what a build of single ones needs is shown by the
# build that this test is of.
function(build_and_run directory)
  run(${CMAKE_COMMAND} -S "${consumer}" -B "${WORK}/${directory}" -G "${GENERATOR}"
      -DCMAKE_BUILD_TYPE=Debug -DCMAKE_CXX_FLAGS_DEBUG=-O0
      "-DCMAKE_CXX_COMPILER=${COMPILER}" "-DCMAKE_CXX_COMPILER_LAUNCHER=${LAUNCHER}"
      -DCMAKE_UNITY_BUILD=ON -DCMAKE_UNITY_BUILD_BATCH_SIZE=40
      "-DCMAKE_PREFIX_PATH=${WORK}/prefix;${PREFIX_PATH}" ${ARGN})
  run(${CMAKE_COMMAND} --build "${WORK}/${directory}")
  run("${WORK}/${directory}/consumer")
endfunction()

function(install_from tree)
  run(${CMAKE_COMMAND} --install "${tree}" --prefix "${WORK}/prefix" ${ARGN})
  if(NOT EXISTS "${WORK}/prefix/include/weft/weft.hpp")
    message(FATAL_ERROR "the headers are not installed")
  endif()
endfunction()

if(WAY STREQUAL "installed")
  install_from("${BUILD}" --config "${CONFIG}")
  build_and_run(consumer "-DCMAKE_CXX_FLAGS=${FLAGS}")
  file(GLOB_RECURSE pc "${WORK}/prefix/*/weft.pc")
  get_filename_component(pc_directory "${pc}" DIRECTORY)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env "PKG_CONFIG_PATH=${pc_directory}" pkg-config --cflags --libs weft
                  OUTPUT_VARIABLE flags OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
  separate_arguments(flags UNIX_COMMAND "${flags}")
  separate_arguments(given UNIX_COMMAND "${FLAGS}")
  run("${COMPILER}" -std=c++20 ${given} "${consumer}/main.cpp" -o "${WORK}/by_pkg_config" ${flags})
  run("${WORK}/by_pkg_config")
elseif(WAY STREQUAL "subdirectory")
  build_and_run(consumer "-DCMAKE_CXX_FLAGS=${FLAGS}" "-DWEFT_SOURCE=${SOURCE}")
elseif(WAY STREQUAL "fetched")
  build_and_run(consumer "-DCMAKE_CXX_FLAGS=${FLAGS} ${FULL}" "-DWEFT_SOURCE=${SOURCE}" -DWEFT_FETCHED=ON)
elseif(WAY STREQUAL "shared")
  set(flags "-DCMAKE_CXX_FLAGS=${FLAGS} ${BRANCH} -fno-rtti")
  build_and_run(consumer "${flags}" "-DWEFT_SOURCE=${SOURCE}" -DBUILD_SHARED_LIBS=ON -DWEFT_INSTALL=ON)
  install_from("${WORK}/consumer")
  build_and_run(consumer_of_installed "${flags}")
endif()
