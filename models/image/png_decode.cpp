// PNG (ISO/IEC 15948) through libpng's push reader: the whole file is handed over at once, rows come back one
// at a time and go straight into the RGB picture. Besides it only two rows are in memory; data beyond the
// last row are not inflated, and nothing is kept of chunks that do not matter.
#include <png.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string_view>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

// libpng is C and reports errors by a callback that must not return: it jumps back into `read_pixels` with
// the message. No object with a destructor may live in a function between the setjmp and the library.
struct PngReader {
  png_structp png = nullptr;
  png_infop info = nullptr;
  Image* image;
  int channels = 0;  // of the rows that come: RGB or RGBA
  bool interlaced = false;
  int64_t rows_missing = 0;  // of all passes
  bool has_end = false;
  char message[200] = "";

  explicit PngReader(Image& target) : image(&target) {
    png = png_create_read_struct(PNG_LIBPNG_VER_STRING, this, on_error, on_warning);
    if (png) info = png_create_info_struct(png);
    if (!info) fail("libpng cannot start: out of memory, or its version is not {}", PNG_LIBPNG_VER_STRING);
  }
  ~PngReader() { png_destroy_read_struct(&png, &info, nullptr); }
  PngReader(const PngReader&) = delete;
  PngReader& operator=(const PngReader&) = delete;

  static PngReader& of(png_structp png) { return *static_cast<PngReader*>(png_get_progressive_ptr(png)); }

  [[noreturn]] static void on_error(png_structp png, png_const_charp what) {
    auto* reader = static_cast<PngReader*>(png_get_error_ptr(png));
    std::snprintf(reader->message, sizeof(reader->message), "%s", what);
    png_longjmp(png, 1);
  }

  // Colour profiles with mistakes, surplus data after the last row: what leaves the pixels whole.
  static void on_warning(png_structp, png_const_charp) {}

  // All chunks before the pixels have been read.
  static void on_info(png_structp png, png_infop info) {
    PngReader& reader = of(png);
    png_set_expand(png);    // palettes, grey of few bits and transparent colours
    png_set_strip_16(png);  // to the upper byte
    png_set_gray_to_rgb(png);
    reader.interlaced = png_get_interlace_type(png, info) != PNG_INTERLACE_NONE;
    png_read_update_info(png, info);
    reader.channels = png_get_channels(png, info);
    const png_uint_32 width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    for (int pass = 0; pass < (reader.interlaced ? PNG_INTERLACE_ADAM7_PASSES : 0); ++pass) {
      if (PNG_PASS_COLS(width, pass) > 0) reader.rows_missing += PNG_PASS_ROWS(height, pass);
    }
    if (!reader.interlaced) reader.rows_missing = height;
  }

  static void on_row(png_structp png, png_bytep row, png_uint_32 y, int pass) {
    PngReader& reader = of(png);
    Image& image = *reader.image;
    --reader.rows_missing;
    const int64_t width = image.width;
    if (!reader.interlaced) {
      return composite_on_white(row, reader.channels, width, &image.rgb[static_cast<size_t>(3 * width * y)]);
    }
    const int64_t first = 3 * (width * PNG_ROW_FROM_PASS_ROW(y, pass) + PNG_PASS_START_COL(pass));
    const int64_t step = int64_t{3} << PNG_PASS_COL_SHIFT(pass);
    uint8_t* out = &image.rgb[static_cast<size_t>(first)];
    for (int64_t x = 0; x < PNG_PASS_COLS(width, pass); ++x, row += reader.channels, out += step) {
      composite_on_white(row, reader.channels, 1, out);
    }
  }

  static void on_end(png_structp png, png_infop) { of(png).has_end = true; }
};

// False with reader.message when that fails.
bool read_pixels(PngReader& reader, const uint8_t* data, size_t size) {
  png_structp png = reader.png;
  if (setjmp(png_jmpbuf(png))) return false;
  png_set_user_limits(png, static_cast<png_uint_32>(reader.image->width),
                      static_cast<png_uint_32>(reader.image->height));
  // Only palette, transparency and pixels are read. Others, of whatever length, are passed over, but their
  // checksums are verified like all.
  png_set_keep_unknown_chunks(png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_set_chunk_malloc_max(png, size);
  png_set_chunk_cache_max(png, 1);
  png_set_crc_action(png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  png_set_progressive_read_fn(png, &reader, PngReader::on_info, PngReader::on_row, PngReader::on_end);
  png_process_data(png, reader.info, const_cast<png_bytep>(data), size);
  return true;
}

// Bits of a pixel by the header's depth and colour type, at least 1 for what libpng will refuse.
int64_t pixel_bits(uint8_t depth, uint8_t color) {
  const int channels =
      (color & PNG_COLOR_MASK_PALETTE) != 0
          ? 1
          : ((color & PNG_COLOR_MASK_COLOR) != 0 ? 3 : 1) + ((color & PNG_COLOR_MASK_ALPHA) != 0 ? 1 : 0);
  return std::max(1, channels * depth);
}

}  // namespace

Image decode_png(Bytes file, std::string_view name, const DecodeOptions& options) {
  constexpr size_t kHeaderEnd = 8 + 12 + 13;  // signature, and a chunk of 13 bytes
  CUCLIP_CHECK(file.size() >= kHeaderEnd, "{}: truncated PNG: it ends after {} bytes", name, file.size());
  CUCLIP_CHECK(std::string_view(reinterpret_cast<const char*>(&file[12]), 4) == "IHDR",
               "{}: damaged PNG: its header is not the first chunk", name);
  const int64_t width = big_endian_32(&file[16]), height = big_endian_32(&file[20]);
  check_size(name, "PNG", width, height, options);
  // Deflate shrinks at most 1032-fold: a tiny file that claims a huge picture is refused before it is
  // allocated.
  const int64_t row_bytes = (width * pixel_bits(file[24], file[25]) + 7) / 8;
  CUCLIP_CHECK(row_bytes * height <= 1032 * std::ssize(file),
               "{}: truncated PNG: {} bytes cannot hold {} x {} pixels", name, file.size(), width, height);

  Image image = make_image(width, height);
  PngReader reader(image);
  CUCLIP_CHECK(read_pixels(reader, file.data(), file.size()), "{}: a damaged or truncated PNG picture: {}",
               name, reader.message);
  CUCLIP_CHECK(reader.has_end, "{}: truncated PNG: it ends after {} bytes, before its IEND chunk", name,
               file.size());
  CUCLIP_CHECK(reader.rows_missing == 0, "{}: damaged PNG: its pixel data end too early", name);
  return image;
}

}  // namespace cuclip::formats
