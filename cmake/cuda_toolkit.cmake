# Looks for the CUDA toolkit (CUDAToolkit_FOUND); the installed package does it with this file too. CMake
# 3.25.1, which is Debian 12's, fails where a toolkit has no libnvToolsExt (CUDA 13) in projects that require
# 3.25 or newer, because it would warn of that library.
set(cuclip_minimum_required ${CMAKE_MINIMUM_REQUIRED_VERSION})
set(CMAKE_MINIMUM_REQUIRED_VERSION 3.24)
find_package(CUDAToolkit QUIET)
set(CMAKE_MINIMUM_REQUIRED_VERSION ${cuclip_minimum_required})
unset(cuclip_minimum_required)
