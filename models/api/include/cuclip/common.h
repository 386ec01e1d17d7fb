// What cuclip.h and cuclip_c.h share: the version, and the mark of what the shared library exports.
#pragma once

// CMakeLists.txt reads the project's version from here.
#define CUCLIP_VERSION_MAJOR 0
#define CUCLIP_VERSION_MINOR 1
#define CUCLIP_VERSION_PATCH 0

#define CUCLIP_API __attribute__((visibility("default")))
