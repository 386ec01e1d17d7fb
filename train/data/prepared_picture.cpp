#include "train/data/prepared_picture.h"

#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include <jpeglib.h>

#include "core/file_io.h"
#include "models/files/names.h"
#include "models/image/image_decode.h"
#include "models/image/resample.h"
#include "train/data/sample_store.h"
#include "train/draw/png.h"

namespace cuclip {
namespace {

bool is_jpeg(const std::string& bytes) { return bytes.compare(0, 3, "\xff\xd8\xff") == 0; }
bool is_png(const std::string& bytes) { return bytes.compare(0, 4, "\x89PNG") == 0; }

// The smallest rectangle outside which everything is white or nearly so; empty if there is nothing inside.
PixelRect drawn_part(const ImageView& picture) {
  constexpr int kWhite = 250;  // soft shadows fade out in the last few values
  int left = picture.width, right = 0, top = picture.height, bottom = 0;
  for (int y = 0; y < picture.height; ++y) {
    const uint8_t* row = picture.row(y);
    auto is_white = [&](int x) { return std::min({row[3 * x], row[3 * x + 1], row[3 * x + 2]}) >= kWhite; };
    int first = 0, last = picture.width;
    while (first < last && is_white(first)) ++first;
    if (first == last) continue;
    while (is_white(last - 1)) --last;
    left = std::min(left, first);
    right = std::max(right, last);
    top = std::min(top, y);
    bottom = y + 1;
  }
  return {.x = left, .y = top, .width = std::max(right - left, 0), .height = std::max(bottom - top, 0)};
}

std::string picture_bytes(const RawPair& pair, std::string& name, Image& rendered) {
  if (pair.draw) {
    name = pair.key;
    rendered = pair.draw();
    return "";
  }
  if (!pair.dataset) {
    name = pair.file.string();
    return read_file(pair.file);
  }
  Sample sample = pair.dataset->load(pair.index);
  name = shortened_name(sample.key);
  if (auto* image = std::get_if<Image>(&sample.picture)) {
    rendered = std::move(*image);
    return "";
  }
  return std::get<std::string>(std::move(sample.picture));
}

}  // namespace

Image cut_out_drawing(const ImageView& picture, int edge) {
  constexpr double kMargin = 0.03;
  const PixelRect part = drawn_part(picture);
  if (part.width == 0) throw SampleError("blank picture", "expected a drawing, found nothing but white");
  const int longer = std::max(part.width, part.height);
  const int side = std::min(edge, static_cast<int>(longer * (1 + 2 * kMargin) + 0.5));
  // A drawing that fits with its margin keeps its pixels.
  const int inner = side < edge ? longer : std::max(1, static_cast<int>(side * (1 - 2 * kMargin) + 0.5));
  const auto scaled = [&](int length) {
    return std::max(1, static_cast<int>(int64_t{length} * inner / longer));
  };
  const Image drawing = resize(picture.crop(part), scaled(part.width), scaled(part.height));
  Image square{.width = side, .height = side, .rgb = {}};
  square.rgb.assign(static_cast<size_t>(side) * static_cast<size_t>(side) * 3, 255);
  const int x = (side - drawing.width) / 2, y = (side - drawing.height) / 2;
  for (int row = 0; row < drawing.height; ++row) {
    const uint8_t* from =
        drawing.rgb.data() + static_cast<size_t>(row) * static_cast<size_t>(drawing.width) * 3;
    std::copy_n(from, drawing.width * 3,
                square.rgb.data() +
                    (static_cast<size_t>(y + row) * static_cast<size_t>(side) + static_cast<size_t>(x)) * 3);
  }
  return square;
}

std::string encode_jpeg(const ImageView& picture, const JpegOptions& options) {
  // libjpeg's own error handler would end the process; with a memory destination only a lack of memory gets
  // there.
  jpeg_compress_struct jpeg{};
  jpeg_error_mgr errors{};
  jpeg.err = jpeg_std_error(&errors);
  jpeg_create_compress(&jpeg);
  unsigned char* buffer = nullptr;
  unsigned long size = 0;
  jpeg_mem_dest(&jpeg, &buffer, &size);
  jpeg.image_width = static_cast<JDIMENSION>(picture.width);
  jpeg.image_height = static_cast<JDIMENSION>(picture.height);
  jpeg.input_components = 3;
  jpeg.in_color_space = JCS_RGB;
  jpeg_set_defaults(&jpeg);
  jpeg_set_quality(&jpeg, options.quality, TRUE);
  jpeg.comp_info[0].h_samp_factor = jpeg.comp_info[0].v_samp_factor = options.half_chroma ? 2 : 1;
  jpeg_start_compress(&jpeg, TRUE);
  while (jpeg.next_scanline < jpeg.image_height) {
    JSAMPROW row = const_cast<JSAMPROW>(picture.row(jpeg.next_scanline));
    jpeg_write_scanlines(&jpeg, &row, 1);
  }
  jpeg_finish_compress(&jpeg);
  jpeg_destroy_compress(&jpeg);
  std::string bytes(reinterpret_cast<const char*>(buffer), size);
  std::free(buffer);
  return bytes;
}

PreparedPicture prepare_picture(const RawPair& pair, int shorter_edge, int64_t max_pixels) {
  std::string name;
  Image picture;
  std::string bytes;
  try {
    bytes = picture_bytes(pair, name, picture);
    if (picture.rgb.empty()) {
      picture = decode_image(std::as_bytes(std::span(bytes)), name, {.max_pixels = max_pixels});
    }
  } catch (const SampleError&) {
    throw;
  } catch (const InputError& error) {
    throw SampleError("unreadable picture", error.what());
  }
  const int shorter = std::min(picture.width, picture.height);
  std::string damage = std::move(picture.damage);
  if (pair.drawing) {
    try {
      picture = cut_out_drawing(picture, shorter_edge);
    } catch (const SampleError& error) {
      throw SampleError(error.reason(), name + ": " + error.what());
    }
  } else {
    picture = shrink_to_edge(std::move(picture), shorter_edge);
  }
  PreparedPicture prepared{
      .format = is_jpeg(bytes) && !pair.drawing ? PreparedFormat::jpeg : PreparedFormat::png,
      .bytes = {},
      .fingerprint = fingerprint_of(picture),
      .damage = std::move(damage)};
  const bool unchanged = !pair.drawing && shorter <= shorter_edge && (is_jpeg(bytes) || is_png(bytes));
  prepared.bytes = unchanged                                 ? std::move(bytes)
                   : prepared.format == PreparedFormat::jpeg ? encode_jpeg(picture)
                                                             : encode_png(picture);
  return prepared;
}

}  // namespace cuclip
