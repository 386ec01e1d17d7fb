// Writing PNG pictures.
#pragma once

#include <filesystem>
#include <string>

#include "models/image/image.h"

namespace cuclip {

/// An 8-bit RGB PNG. The same picture always gives the same bytes. Throws InputError for an empty picture.
std::string encode_png(const ImageView& image);

/// The same as a data: URI, for a page or drawing that holds its pictures.
std::string png_data_uri(const ImageView& image);

/// Writes it atomically (core/file_io.h).
void write_png(const std::filesystem::path& path, const ImageView& image);

}  // namespace cuclip
