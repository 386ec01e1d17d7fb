# What `cmake --install` puts where, so that find_package(cuclip) works from outside.
install(TARGETS cuclip_kernels cuclip_core cuclip_models EXPORT cuclipTargets)
install(TARGETS cuclip_train EXPORT cuclipTrainTargets)  # apart: it needs packages that the others do without
install(TARGETS cuclip RUNTIME)

foreach(folder kernels core models train)
  install(DIRECTORY ${PROJECT_SOURCE_DIR}/${folder}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/cuclip/${folder}
          FILES_MATCHING PATTERN "*.h" PATTERN "cli" EXCLUDE PATTERN "tools" EXCLUDE)
endforeach()

set(cuclip_package ${CMAKE_INSTALL_LIBDIR}/cmake/cuclip)
install(EXPORT cuclipTargets NAMESPACE cuclip:: DESTINATION ${cuclip_package})
install(EXPORT cuclipTrainTargets NAMESPACE cuclip:: DESTINATION ${cuclip_package})
configure_package_config_file(${PROJECT_SOURCE_DIR}/cmake/cuclipConfig.cmake.in
                              ${PROJECT_BINARY_DIR}/cuclipConfig.cmake INSTALL_DESTINATION ${cuclip_package})
write_basic_package_version_file(${PROJECT_BINARY_DIR}/cuclipConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/cuclipConfig.cmake ${PROJECT_BINARY_DIR}/cuclipConfigVersion.cmake
              ${PROJECT_SOURCE_DIR}/cmake/cuda_toolkit.cmake
        DESTINATION ${cuclip_package})
