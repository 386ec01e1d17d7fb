// JPEG through libjpeg-turbo with the settings that Pillow uses: accurate integer DCT, smooth chroma
// upsampling. The library's scaled decoding (1/2, 1/4, 1/8) would save time for thumbnails, but its pixels
// differ from those of full decoding followed by the resampler, so it is not used.
#include <algorithm>
#include <csetjmp>
#include <cstddef>
#include <cstdio>  // jpeglib.h needs FILE and size_t to be declared
#include <string_view>
#include <utility>
#include <vector>

// jpeglib.h first: jerror.h takes the library's version from it.
// clang-format off
#include <jpeglib.h>
#include <jerror.h>
// clang-format on

#include "models/image/image_formats.h"
#include "models/image/orientation.h"

namespace cuclip::formats {
namespace {

// A progressive file may hold thousands of empty scans, each of which costs a pass over the whole picture.
// Encoders write about ten.
constexpr int kMaxScans = 100;

// libjpeg is C and reports errors by a callback that must not return: it jumps back here with the message. No
// object with a destructor may live in a function between the setjmp and the library.
struct JpegReader {
  jpeg_decompress_struct info{};
  jpeg_error_mgr errors{};
  jpeg_progress_mgr progress{};
  std::jmp_buf jump;
  char message[JMSG_LENGTH_MAX] = "";
  char damage[JMSG_LENGTH_MAX] = "";
  bool has_rows = false;  // all of them

  JpegReader() {
    info.err = jpeg_std_error(&errors);
    info.client_data = this;
    errors.error_exit = on_error;
    errors.emit_message = on_message;
    progress.progress_monitor = on_progress;
  }
  ~JpegReader() { jpeg_destroy_decompress(&info); }
  JpegReader(const JpegReader&) = delete;
  JpegReader& operator=(const JpegReader&) = delete;

  [[noreturn]] static void on_error(j_common_ptr info) {
    auto* reader = static_cast<JpegReader*>(info->client_data);
    info->err->format_message(info, reader->message);
    std::longjmp(reader->jump, 1);
  }

  // The library warns about damaged data and continues with a guess: the first such warning is kept. A file
  // that ends before the last row is an error here, as with Pillow. Other warnings (stray bytes between
  // markers, an unknown JFIF revision, ...) leave the picture whole.
  static void on_message(j_common_ptr info, int level) {
    if (level >= 0) return;  // a trace
    auto* reader = static_cast<JpegReader*>(info->client_data);
    switch (info->err->msg_code) {
      case JWRN_JPEG_EOF:
        if (!reader->has_rows) on_error(info);
        [[fallthrough]];
      case JWRN_HIT_MARKER:
      case JWRN_HUFF_BAD_CODE:
      case JWRN_ARITH_BAD_CODE:
      case JWRN_MUST_RESYNC:
      case JWRN_BOGUS_PROGRESSION:
        if (reader->damage[0] == '\0') info->err->format_message(info, reader->damage);
        break;
      default:
        break;
    }
  }

  static void on_progress(j_common_ptr info) {
    auto* reader = static_cast<JpegReader*>(info->client_data);
    if (reader->info.input_scan_number <= kMaxScans) return;
    std::snprintf(reader->message, sizeof(reader->message), "more than %d scans", kMaxScans);
    std::longjmp(reader->jump, 1);
  }
};

constexpr int kExifMarker = JPEG_APP0 + 1;

// Reads up to the first scan; false with reader.message when that fails.
bool read_header(JpegReader& reader, const uint8_t* data, size_t size, bool keep_exif) {
  if (setjmp(reader.jump)) return false;
  jpeg_create_decompress(&reader.info);
  reader.info.progress = &reader.progress;
  if (keep_exif) jpeg_save_markers(&reader.info, kExifMarker, 0xffff);
  jpeg_mem_src(&reader.info, data, static_cast<unsigned long>(size));
  jpeg_read_header(&reader.info, TRUE);
  return true;
}

// 1 where no markers were kept.
int orientation_of(const jpeg_decompress_struct& info) {
  constexpr std::string_view kExif("Exif\0\0", 6);
  for (const jpeg_marker_struct* marker = info.marker_list; marker; marker = marker->next) {
    const Bytes data(marker->data, marker->data_length);
    if (marker->marker == kExifMarker && data.size() > kExif.size() &&
        std::equal(kExif.begin(), kExif.end(), data.begin())) {
      return exif_orientation(data.subspan(kExif.size()));
    }
  }
  return 1;
}

// Whether scans of a progressive file are missing. The library does not warn about that: it shows what there
// is.
bool lacks_scans(const jpeg_decompress_struct& info) {
  if (!info.coef_bits) return false;
  for (int component = 0; component < info.num_components; ++component) {
    const int* bits =
        info.coef_bits[component];  // the lowest bit of each coefficient that has come; -1: none
    if (std::any_of(bits, bits + DCTSIZE2, [](int lowest) { return lowest != 0; })) return true;
  }
  return false;
}

// One row of inverted CMYK to RGB, with the roundings of Pillow's cmyk2rgb.
void cmyk_row(const uint8_t* cmyk, int64_t width, uint8_t* rgb) {
  for (int64_t x = 0; x < width; ++x, cmyk += 4, rgb += 3) {
    const uint32_t k = cmyk[3];
    for (int c = 0; c < 3; ++c) {
      rgb[c] = static_cast<uint8_t>(k - divide_by_255((255u - cmyk[c]) * k));
    }
  }
}

// Decodes into rgb [height, width, 3]; cmyk is one row of width * 4 bytes, or null for pictures that the
// library itself turns into RGB. False with reader.message when that fails.
bool read_pixels(JpegReader& reader, uint8_t* rgb, uint8_t* cmyk) {
  if (setjmp(reader.jump)) return false;
  jpeg_decompress_struct& info = reader.info;
  info.out_color_space = cmyk ? JCS_CMYK : JCS_RGB;
  info.dct_method = JDCT_ISLOW;
  jpeg_start_decompress(&info);
  while (info.output_scanline < info.output_height) {
    uint8_t* target = rgb + static_cast<size_t>(info.output_scanline) * info.output_width * 3;
    JSAMPROW row = cmyk ? cmyk : target;
    jpeg_read_scanlines(&info, &row, 1);
    if (cmyk) cmyk_row(cmyk, info.output_width, target);
  }
  reader.has_rows = true;
  if (reader.damage[0] == '\0' && lacks_scans(info)) {
    std::snprintf(reader.damage, sizeof(reader.damage), "scans of this progressive JPEG are missing");
  }
  jpeg_finish_decompress(&info);  // reads up to the end marker
  return true;
}

}  // namespace

Image decode_jpeg(Bytes bytes, std::string_view name, const DecodeOptions& options) {
  JpegReader reader;
  CUCLIP_CHECK(read_header(reader, bytes.data(), bytes.size(), options.exif_orientation),
               "{}: a damaged or truncated JPEG picture: {}", name, reader.message);
  const int64_t width = reader.info.image_width;
  const int64_t height = reader.info.image_height;
  check_size(name, "JPEG", width, height, options);
  const int components = reader.info.num_components;
  CUCLIP_CHECK(components == 1 || components == 3 || components == 4,
               "{}: a JPEG picture of {} components, expected grey (1), colour (3) or CMYK (4)", name,
               components);

  const int orientation = orientation_of(reader.info);  // the library forgets it with the last row
  Image image = make_image(width, height);
  std::vector<uint8_t> cmyk(components == 4 ? static_cast<size_t>(width) * 4 : 0);
  CUCLIP_CHECK(read_pixels(reader, image.rgb.data(), cmyk.empty() ? nullptr : cmyk.data()),
               "{}: a damaged or truncated JPEG picture: {}", name, reader.message);
  if (reader.damage[0] != '\0') image.damage = fmt::format("{}: {}", name, reader.damage);
  return upright(std::move(image), orientation);
}

}  // namespace cuclip::formats
