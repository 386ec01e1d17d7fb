# Everything that the library and the executable link, from Debian 12's packages.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(dnnl REQUIRED)
find_package(hwy REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)
find_package(tomlplusplus REQUIRED)
find_package(ZLIB REQUIRED)
find_package(JPEG REQUIRED)
find_package(PNG REQUIRED)
find_package(TIFF 4.5)  # optional: without it, TIFF pictures are refused
find_package(LibArchive REQUIRED)
find_package(pugixml REQUIRED)
find_package(Freetype REQUIRED)
find_package(PkgConfig REQUIRED)
pkg_check_modules(utf8proc REQUIRED IMPORTED_TARGET libutf8proc)
pkg_check_modules(xxhash REQUIRED IMPORTED_TARGET libxxhash)
pkg_check_modules(lbfgs REQUIRED IMPORTED_TARGET liblbfgs)
pkg_check_modules(webp REQUIRED IMPORTED_TARGET libwebp libwebpdemux)
# The header alone: Debian's library is compiled with every format and without limits.
find_path(CUCLIP_STB_INCLUDE stb_image.h PATH_SUFFIXES stb REQUIRED)
add_library(cuclip_stb INTERFACE)
target_include_directories(cuclip_stb SYSTEM INTERFACE ${CUCLIP_STB_INCLUDE})
# toml++'s headers alone: Debian's target is for its shared library, which is compiled without the assertions
# that train/cli/config_file.cpp needs.
add_library(cuclip_toml INTERFACE)
target_include_directories(cuclip_toml SYSTEM INTERFACE
                           $<TARGET_PROPERTY:tomlplusplus::tomlplusplus,INTERFACE_INCLUDE_DIRECTORIES>)
# Optional: without it, a run has one process. Of its C interface.
set(MPI_CXX_SKIP_MPICXX ON)
find_package(MPI QUIET COMPONENTS CXX)
