// Which way up a picture is to be seen (EXIF 2.32, tag 0x0112; the same in TIFF).
#pragma once

#include <cstdint>
#include <span>

#include "models/image/image.h"

namespace cuclip {

/// The orientation that an EXIF block states, 1 (upright) to 8. `tiff` begins after "Exif\0\0", with the TIFF
/// header. 1 where there is none, or the block is damaged.
int exif_orientation(std::span<const uint8_t> tiff);

/// The picture turned and mirrored so that it is upright (= Pillow's ImageOps.exif_transpose). An orientation
/// outside 2..8 changes nothing.
Image upright(Image image, int orientation);

}  // namespace cuclip
