// TIFF through libtiff, where the build has it: the first page, whatever its layout and compression.
#include <string_view>

#include "models/image/image_formats.h"
#include "models/image/orientation.h"

#ifdef CUCLIP_WITH_TIFF

#include <tiffio.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <memory>
#include <utility>
#include <vector>

namespace cuclip::formats {
namespace {

// What libtiff reads from, and its first error.
struct MemoryFile {
  Bytes bytes;
  size_t at = 0;
  char message[300] = "";

  static MemoryFile& of(thandle_t handle) { return *static_cast<MemoryFile*>(handle); }

  static tmsize_t read(thandle_t handle, void* out, tmsize_t size) {
    MemoryFile& file = of(handle);
    const size_t count = std::min(static_cast<size_t>(size), file.bytes.size() - file.at);
    std::copy_n(file.bytes.begin() + static_cast<std::ptrdiff_t>(file.at), count, static_cast<uint8_t*>(out));
    file.at += count;
    return static_cast<tmsize_t>(count);
  }
  static tmsize_t write(thandle_t, void*, tmsize_t) { return 0; }
  static toff_t seek(thandle_t handle, toff_t offset, int whence) {
    MemoryFile& file = of(handle);
    const size_t base = whence == SEEK_SET ? 0 : whence == SEEK_CUR ? file.at : file.bytes.size();
    file.at = std::min(base + static_cast<size_t>(offset), file.bytes.size());
    return file.at;
  }
  static int close(thandle_t) { return 0; }
  static toff_t size(thandle_t handle) { return of(handle).bytes.size(); }
  // The library only reads what is mapped.
  static int map(thandle_t handle, void** base, toff_t* size) {
    *base = const_cast<uint8_t*>(of(handle).bytes.data());
    *size = of(handle).bytes.size();
    return 1;
  }
  static void unmap(thandle_t, void*, toff_t) {}

  static int on_error(TIFF*, void* user, const char*, const char* format, va_list values) {
    auto* file = static_cast<MemoryFile*>(user);
    if (file->message[0] == '\0') std::vsnprintf(file->message, sizeof(file->message), format, values);
    return 1;
  }
  static int on_warning(TIFF*, void*, const char*, const char*, va_list) { return 1; }
};

// What a strip or tile may take: it may be the whole picture, of 4 samples of 16 bits, and tiles have a
// size of their own.
constexpr int64_t kBlockBytes = 16 << 20, kBlockBytesPerPixel = 8;

using Tiff = std::unique_ptr<TIFF, decltype(&TIFFClose)>;

Tiff open(MemoryFile& file, int64_t max_bytes) {
  const std::unique_ptr<TIFFOpenOptions, decltype(&TIFFOpenOptionsFree)> options(TIFFOpenOptionsAlloc(),
                                                                                 &TIFFOpenOptionsFree);
  TIFFOpenOptionsSetMaxSingleMemAlloc(options.get(), static_cast<tmsize_t>(max_bytes));
  TIFFOpenOptionsSetErrorHandlerExtR(options.get(), MemoryFile::on_error, &file);
  TIFFOpenOptionsSetWarningHandlerExtR(options.get(), MemoryFile::on_warning, nullptr);
  return {TIFFClientOpenExt("", "r", &file, MemoryFile::read, MemoryFile::write, MemoryFile::seek,
                            MemoryFile::close, MemoryFile::size, MemoryFile::map, MemoryFile::unmap,
                            options.get()),
          &TIFFClose};
}

// A tile may be larger than the picture that it is a part of, and libtiff holds a whole one.
void check_block_size(TIFF* tiff, std::string_view name, uint64_t width, uint64_t height) {
  const bool tiled = TIFFIsTiled(tiff) != 0;
  const uint64_t bytes = tiled ? TIFFTileSize64(tiff) : TIFFStripSize64(tiff);
  CUCLIP_CHECK(bytes <= kBlockBytes + kBlockBytesPerPixel * width * height,
               "{}: a TIFF picture of {} x {} pixels in {} of {} bytes each, more than such a picture needs",
               name, width, height, tiled ? "tiles" : "strips", bytes);
}

// Before anything of the picture's size is allocated: the file must hold its blocks, and they the pixels,
// which can be said where they are not compressed.
void check_blocks(TIFF* tiff, std::string_view name, uint64_t file_bytes, uint32_t height) {
  const bool tiled = TIFFIsTiled(tiff) != 0;
  const uint32_t count = tiled ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  uint64_t held = 0;
  for (uint32_t i = 0; i < count; ++i) {
    const uint64_t start = TIFFGetStrileOffset(tiff, i), bytes = TIFFGetStrileByteCount(tiff, i);
    CUCLIP_CHECK(start <= file_bytes && bytes <= file_bytes - start,
                 "{}: truncated TIFF: {} {} has {} bytes from byte {}, and the file ends at {}", name,
                 tiled ? "tile" : "strip", i, bytes, start, file_bytes);
    held += bytes;
  }
  uint16_t compression = COMPRESSION_NONE, planar = PLANARCONFIG_CONTIG, samples = 1;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_COMPRESSION, &compression);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  const uint64_t strips = TIFFVStripSize64(tiff, height) * (planar == PLANARCONFIG_SEPARATE ? samples : 1);
  const uint64_t needed = tiled ? TIFFTileSize64(tiff) * count : strips;
  CUCLIP_CHECK(compression != COMPRESSION_NONE || held >= needed,
               "{}: truncated TIFF: {} bytes of pixels, expected {}", name, held, needed);
}

// What the fourth sample of libtiff's pixels is.
enum class Alpha { none, straight, premultiplied };

// libtiff multiplies colours by what is marked as alpha, but not grey whose alpha is beside it. It also takes
// an extra sample of no stated meaning, a selection mask for instance, for alpha that colours are multiplied
// by already; Pillow does not, and takes four samples of which nothing is said for colours and alpha.
Alpha alpha_of(TIFF* tiff) {
  uint16_t count = 0, samples = 1, planar = PLANARCONFIG_CONTIG, *kinds = nullptr;
  const bool stated = TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &count, &kinds) != 0 && count > 0;
  TIFFGetFieldDefaulted(tiff, TIFFTAG_SAMPLESPERPIXEL, &samples);
  TIFFGetFieldDefaulted(tiff, TIFFTAG_PLANARCONFIG, &planar);
  uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &photometric);
  if (!stated) return samples == 4 && photometric == PHOTOMETRIC_RGB ? Alpha::straight : Alpha::none;
  if (kinds[0] == EXTRASAMPLE_UNSPECIFIED) return Alpha::none;
  const bool grey = photometric == PHOTOMETRIC_MINISBLACK || photometric == PHOTOMETRIC_MINISWHITE;
  const bool untouched = grey && planar == PLANARCONFIG_CONTIG && kinds[0] == EXTRASAMPLE_UNASSALPHA;
  return untouched ? Alpha::straight : Alpha::premultiplied;
}

void lay_on_white(const std::vector<uint32_t>& raster, Alpha alpha, std::vector<uint8_t>& rgb) {
  if (alpha == Alpha::straight) {  // the pixels' bytes are red, green, blue and alpha in this order
    const auto* rgba = reinterpret_cast<const uint8_t*>(raster.data());
    return composite_on_white(rgba, 4, std::ssize(raster), rgb.data());
  }
  uint8_t* out = rgb.data();
  for (uint32_t pixel : raster) {
    const uint32_t white = alpha == Alpha::none ? 0 : 255 - TIFFGetA(pixel);
    for (uint32_t color : {TIFFGetR(pixel), TIFFGetG(pixel), TIFFGetB(pixel)}) {
      *out++ = static_cast<uint8_t>(std::min(color + white, 255u));
    }
  }
}

}  // namespace

bool has_tiff() { return true; }

Image decode_tiff(Bytes bytes, std::string_view name, const DecodeOptions& options) {
  MemoryFile file{.bytes = bytes};
  const Tiff tiff = open(file, kBlockBytes + kBlockBytesPerPixel * options.max_pixels);
  const auto check = [&](bool done) {
    CUCLIP_CHECK(done,
                 "{}: a damaged or truncated TIFF picture, or one of a kind that libtiff does not show: {}",
                 name, file.message);
  };
  check(tiff != nullptr);
  uint32_t width = 0, height = 0;
  uint16_t orientation = ORIENTATION_TOPLEFT;
  check(TIFFGetField(tiff.get(), TIFFTAG_IMAGEWIDTH, &width) &&
        TIFFGetField(tiff.get(), TIFFTAG_IMAGELENGTH, &height));
  check_size(name, "TIFF", width, height, options);
  check_block_size(tiff.get(), name, width, height);
  TIFFGetFieldDefaulted(tiff.get(), TIFFTAG_ORIENTATION, &orientation);
  char problem[1024] = "";  // libtiff's size
  CUCLIP_CHECK(TIFFRGBAImageOK(tiff.get(), problem), "{}: a TIFF picture that libtiff does not show: {}",
               name, problem);

  check_blocks(tiff.get(), name, bytes.size(), height);
  const Alpha alpha = alpha_of(tiff.get());
  std::vector<uint32_t> raster(static_cast<size_t>(width) * height);
  check(TIFFReadRGBAImageOriented(tiff.get(), width, height, raster.data(), orientation, 1));
  Image image = make_image(width, height);
  lay_on_white(raster, alpha, image.rgb);
  return upright(std::move(image), orientation);
}

}  // namespace cuclip::formats

#else

namespace cuclip::formats {

bool has_tiff() { return false; }

Image decode_tiff(Bytes, std::string_view name, const DecodeOptions&) {
  fail_input(
      "{}: a TIFF picture, and this build of cuclip has no libtiff: install its headers (Debian: "
      "libtiff-dev) and build again",
      name);
}

}  // namespace cuclip::formats

#endif
