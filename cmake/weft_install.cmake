# Headers, library, and what find_package(weft CONFIG) and pkg-config read.
include(CMakePackageConfigHelpers)

set(weft_config_dir ${CMAKE_INSTALL_LIBDIR}/cmake/weft)
install(TARGETS weft EXPORT weft-targets
  LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
foreach(module runtime sync io)
  install(DIRECTORY ${module}/include/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
endforeach()
install(EXPORT weft-targets NAMESPACE weft:: DESTINATION ${weft_config_dir})
configure_package_config_file(cmake/weft-config.cmake.in ${PROJECT_BINARY_DIR}/weft-config.cmake
  INSTALL_DESTINATION ${weft_config_dir})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/weft-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/weft-config.cmake ${PROJECT_BINARY_DIR}/weft-config-version.cmake
              cmake/Findlibuv_pc.cmake
  DESTINATION ${weft_config_dir})

# The prefix is found from where the file lies. A static library names what it was built on, as above.
file(RELATIVE_PATH weft_pc_to_prefix "/${CMAKE_INSTALL_LIBDIR}/pkgconfig" "/")
string(REGEX REPLACE "/$" "" weft_pc_to_prefix "${weft_pc_to_prefix}")
if(BUILD_SHARED_LIBS)
  set(weft_pc_libs "")
  set(weft_pc_requires "Requires.private")
else()
  set(weft_pc_libs " -lboost_context -pthread")
  set(weft_pc_requires "Requires")
endif()
configure_file(cmake/weft.pc.in ${PROJECT_BINARY_DIR}/weft.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/weft.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
