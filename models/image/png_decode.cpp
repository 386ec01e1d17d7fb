// PNG (ISO/IEC 15948) over zlib's inflate. Rows are decoded one at a time straight into the RGB picture:
// besides it only two rows are in memory, and no more is inflated than the header's size asks for, whatever
// the file holds.
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

enum ColorType : uint8_t { kGrey = 0, kRgb = 2, kPalette = 3, kGreyAlpha = 4, kRgba = 6 };

struct Header {
  int64_t width = 0, height = 0;
  int depth = 0;  // bits per sample
  ColorType color = kGrey;
  bool interlaced = false;

  int channels() const {
    constexpr std::array<int, 7> kChannels = {1, 0, 3, 1, 2, 0, 4};
    return kChannels[color];
  }
  int64_t row_bytes(int64_t pixels) const { return (pixels * channels() * depth + 7) / 8; }
};

// The chunks that matter. Everything points into the file.
struct Chunks {
  Header header;
  Bytes palette, transparency;
  std::vector<Bytes> data;
};

using Color = std::array<uint8_t, 3>;

Header parse_header(Bytes body, std::string_view name) {
  CUCLIP_CHECK(body.size() == 13, "{}: damaged PNG: its header has {} bytes, expected 13", name, body.size());
  Header h;
  h.width = big_endian_32(&body[0]);
  h.height = big_endian_32(&body[4]);
  h.depth = body[8];
  constexpr int64_t kMaxEdge = 0x7fffffff;
  CUCLIP_CHECK(h.width <= kMaxEdge && h.height <= kMaxEdge, "{}: damaged PNG: {} x {} pixels", name, h.width,
               h.height);
  const auto depth_in = [&](std::initializer_list<int> list) {
    return std::ranges::count(list, h.depth) > 0;
  };
  const bool known = body[9] == kGrey      ? depth_in({1, 2, 4, 8, 16})
                     : body[9] == kPalette ? depth_in({1, 2, 4, 8})
                                           : (body[9] == kRgb || body[9] == kGreyAlpha || body[9] == kRgba) &&
                                                 depth_in({8, 16});
  CUCLIP_CHECK(known && body[10] == 0 && body[11] == 0 && body[12] <= 1,
               "{}: damaged PNG: colour type {} with {} bits, compression {}, filter {}, interlace {}", name,
               body[9], body[8], body[10], body[11], body[12]);
  h.color = static_cast<ColorType>(body[9]);
  h.interlaced = body[12] == 1;
  return h;
}

// Splits the file into chunks and verifies every checksum.
Chunks read_chunks(Bytes file, std::string_view name) {
  Chunks chunks;
  size_t at = 8;  // after the signature
  for (bool first = true;; first = false) {
    CUCLIP_CHECK(file.size() - at >= 12, "{}: truncated PNG: it ends after {} bytes, before its IEND chunk",
                 name, file.size());
    const size_t length = big_endian_32(&file[at]);
    const std::string_view type(reinterpret_cast<const char*>(&file[at + 4]), 4);
    CUCLIP_CHECK(length <= file.size() - at - 12,
                 "{}: truncated or damaged PNG: a chunk at byte {} claims {} bytes, {} are left", name, at,
                 length, file.size() - at - 12);
    const Bytes body = file.subspan(at + 8, length);
    const uint32_t sum = static_cast<uint32_t>(crc32_z(0, &file[at + 4], length + 4));
    CUCLIP_CHECK(sum == big_endian_32(&file[at + 8 + length]),
                 "{}: damaged PNG: wrong checksum of the chunk at byte {}", name, at);
    CUCLIP_CHECK(first == (type == "IHDR"),
                 "{}: damaged PNG: its header is not the first chunk, or there are two", name);
    if (type == "IHDR") {
      chunks.header = parse_header(body, name);
    } else if (type == "PLTE") {
      chunks.palette = body;
    } else if (type == "tRNS") {
      chunks.transparency = body;
    } else if (type == "IDAT") {
      chunks.data.push_back(body);
    } else if (type == "IEND") {
      return chunks;
    } else {
      // A lower-case first letter marks what a decoder may skip.
      CUCLIP_CHECK((type[0] & 0x20) != 0, "{}: damaged PNG: an unknown critical chunk at byte {}", name, at);
    }
    at += length + 12;
  }
}

// The zlib stream that runs through the IDAT chunks.
class InflateStream {
 public:
  InflateStream(const std::vector<Bytes>& pieces, std::string_view name) : pieces_(pieces), name_(name) {
    if (inflateInit(&stream_) != Z_OK) fail("{}: zlib cannot start: out of memory", name);
  }
  ~InflateStream() { inflateEnd(&stream_); }
  InflateStream(const InflateStream&) = delete;
  InflateStream& operator=(const InflateStream&) = delete;

  void read(uint8_t* out, int64_t size) {
    while (size > 0) {
      const uInt step = static_cast<uInt>(std::min<int64_t>(size, 1 << 30));
      CUCLIP_CHECK(inflate_into(out, step), "{}: truncated PNG: its pixel data end too early", name_);
      out += step;
      size -= step;
    }
  }

  // After the last row: reads the stream's own checksum, if it is there. Surplus data is ignored, as in other
  // decoders.
  void finish() {
    uint8_t surplus;
    inflate_into(&surplus, 1);
  }

 private:
  bool inflate_into(uint8_t* out, uInt size) {
    stream_.next_out = out;
    stream_.avail_out = size;
    while (stream_.avail_out > 0) {
      if (stream_.avail_in == 0) {
        if (next_piece_ == pieces_.size()) return false;
        const Bytes piece = pieces_[next_piece_++];
        stream_.next_in = const_cast<Bytef*>(piece.data());  // zlib never writes through it
        stream_.avail_in = static_cast<uInt>(piece.size());  // chunk lengths have 32 bits
        continue;
      }
      const int status = inflate(&stream_, Z_NO_FLUSH);
      if (status == Z_STREAM_END) return stream_.avail_out == 0;
      if (status == Z_MEM_ERROR) fail("{}: out of memory while inflating a PNG", name_);
      CUCLIP_CHECK(status == Z_OK || status == Z_BUF_ERROR, "{}: damaged PNG: {}", name_,
                   stream_.msg ? stream_.msg : "bad compressed data");
    }
    return true;
  }

  const std::vector<Bytes>& pieces_;
  std::string_view name_;
  z_stream stream_{};
  size_t next_piece_ = 0;
};

// Undoes a row's filter. `row` and `above` have `bpp` zero bytes before their first; bpp is the number of
// bytes per pixel.
void unfilter(int type, uint8_t* row, const uint8_t* above, int64_t n, int64_t bpp) {
  switch (type) {
    case 1:
      for (int64_t i = 0; i < n; ++i) row[i] = static_cast<uint8_t>(row[i] + row[i - bpp]);
      break;
    case 2:
      for (int64_t i = 0; i < n; ++i) row[i] = static_cast<uint8_t>(row[i] + above[i]);
      break;
    case 3:
      for (int64_t i = 0; i < n; ++i) row[i] = static_cast<uint8_t>(row[i] + (row[i - bpp] + above[i]) / 2);
      break;
    case 4:
      for (int64_t i = 0; i < n; ++i) {
        const int a = row[i - bpp], b = above[i], c = above[i - bpp];
        const int pa = std::abs(b - c), pb = std::abs(a - c), pc = std::abs(a + b - 2 * c);
        const int paeth = pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
        row[i] = static_cast<uint8_t>(row[i] + paeth);
      }
      break;
    default:  // 0: none
      break;
  }
}

// Turns unfiltered rows into RGB on white.
class RowExpander {
 public:
  RowExpander(const Chunks& chunks, std::string_view name) : header_(chunks.header) {
    const Bytes trns = chunks.transparency;
    if (header_.color == kPalette) {
      make_palette(chunks, name);
    } else if (header_.color == kGrey && header_.depth <= 8) {
      make_grey_table(trns);
    } else if (header_.color == kGrey || header_.color == kRgb) {
      const size_t samples = static_cast<size_t>(header_.channels());
      has_key_ = trns.size() >= 2 * samples;
      for (size_t c = 0; c < samples && has_key_; ++c) {
        // The key as it stands in a row: 16 bits big-endian, or one byte.
        if (header_.depth == 16) key_[key_bytes_++] = trns[2 * c];
        key_[key_bytes_++] = trns[2 * c + 1];
      }
    }
  }

  // n pixels to out, out + step, ...
  void expand(const uint8_t* row, int64_t n, uint8_t* out, int64_t step) const {
    switch (header_.color) {
      case kGrey:
        return header_.depth <= 8 ? look_up(row, n, out, step) : copy_samples<1, false>(row, n, out, step);
      case kPalette:
        return look_up(row, n, out, step);
      case kRgb:
        return copy_samples<3, false>(row, n, out, step);
      case kGreyAlpha:
        return copy_samples<1, true>(row, n, out, step);
      case kRgba:
        return copy_samples<3, true>(row, n, out, step);
    }
  }

 private:
  void make_palette(const Chunks& chunks, std::string_view name) {
    const size_t colors = chunks.palette.size() / 3;
    CUCLIP_CHECK(colors >= 1 && colors <= 256 && chunks.palette.size() % 3 == 0,
                 "{}: damaged PNG: its palette has {} bytes, expected 3 for each of 1 to 256 colours", name,
                 chunks.palette.size());
    for (size_t i = 0; i < colors; ++i) {
      const uint32_t alpha = i < chunks.transparency.size() ? chunks.transparency[i] : 255;
      for (size_t c = 0; c < 3; ++c) table_[i][c] = blend_on_white(chunks.palette[3 * i + c], alpha);
    }
  }

  void make_grey_table(Bytes trns) {
    const uint32_t largest = (1u << header_.depth) - 1;
    const uint32_t key = trns.size() >= 2 ? big_endian_16(trns.data()) : ~0u;
    for (uint32_t i = 0; i <= largest; ++i) {
      table_[i].fill(static_cast<uint8_t>(i == key ? 255 : i * 255 / largest));
    }
  }

  // Palette indices, or grey of up to 8 bits: the first pixel is in the upper bits of a byte.
  void look_up(const uint8_t* row, int64_t n, uint8_t* out, int64_t step) const {
    const int depth = header_.depth;
    const int mask = (1 << depth) - 1;
    for (int64_t x = 0; x < n; ++x, out += step) {
      const int64_t bit = x * depth;
      const Color& color = table_[static_cast<size_t>(row[bit / 8] >> (8 - depth - bit % 8) & mask)];
      std::copy(color.begin(), color.end(), out);
    }
  }

  // Samples of 8 bits, or the upper bytes of samples of 16.
  template <int kColors, bool kAlpha>
  void copy_samples(const uint8_t* row, int64_t n, uint8_t* out, int64_t step) const {
    const int64_t sample = header_.depth / 8;
    const int64_t pixel = sample * (kColors + kAlpha);
    for (int64_t x = 0; x < n; ++x, row += pixel, out += step) {
      uint8_t alpha = 255;
      if constexpr (kAlpha) alpha = row[kColors * sample];
      if (has_key_ && std::equal(row, row + key_bytes_, key_.begin())) alpha = 0;
      for (int c = 0; c < 3; ++c) {
        const uint8_t value = row[kColors == 1 ? 0 : c * sample];
        out[c] = alpha == 255 ? value : blend_on_white(value, alpha);
      }
    }
  }

  Header header_;
  std::array<Color, 256> table_{};  // black where the palette has no entry
  bool has_key_ = false;            // pixels of exactly this colour are transparent
  int64_t key_bytes_ = 0;
  std::array<uint8_t, 6> key_{};
};

struct Pass {
  int64_t x, y, dx, dy;
};
constexpr std::array<Pass, 1> kWhole = {{{0, 0, 1, 1}}};
constexpr std::array<Pass, 7> kAdam7 = {
    {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}}};

}  // namespace

Image decode_png(Bytes file, std::string_view name, const DecodeLimits& limits) {
  const Chunks chunks = read_chunks(file, name);
  const Header& h = chunks.header;
  check_size(name, "PNG", h.width, h.height, limits);
  // Deflate shrinks at most 1032-fold: a tiny file that claims a huge picture is refused before it is
  // allocated.
  int64_t compressed = 0;
  for (Bytes piece : chunks.data) compressed += static_cast<int64_t>(piece.size());
  CUCLIP_CHECK(h.row_bytes(h.width) * h.height <= 1032 * compressed,
               "{}: truncated PNG: {} bytes of pixel data cannot hold {} x {} pixels", name, compressed,
               h.width, h.height);

  const RowExpander expander(chunks, name);
  Image image = make_image(h.width, h.height);
  InflateStream stream(chunks.data, name);
  const int64_t bpp = std::max(1, h.channels() * h.depth / 8);
  std::vector<uint8_t> buffers[2];
  const std::span<const Pass> passes =
      h.interlaced ? std::span<const Pass>(kAdam7) : std::span<const Pass>(kWhole);
  for (const Pass& pass : passes) {
    if (pass.x >= h.width || pass.y >= h.height) continue;
    const int64_t columns = (h.width - pass.x + pass.dx - 1) / pass.dx;
    const int64_t bytes = h.row_bytes(columns);
    for (auto& buffer : buffers) buffer.assign(static_cast<size_t>(bpp + bytes), 0);
    for (int64_t y = pass.y; y < h.height; y += pass.dy) {
      buffers[0].swap(buffers[1]);
      uint8_t* row = buffers[0].data() + bpp;
      uint8_t filter = 0;
      stream.read(&filter, 1);
      CUCLIP_CHECK(filter <= 4, "{}: damaged PNG: row filter {}", name, filter);
      stream.read(row, bytes);
      unfilter(filter, row, buffers[1].data() + bpp, bytes, bpp);
      expander.expand(row, columns, &image.rgb[static_cast<size_t>((y * h.width + pass.x) * 3)], 3 * pass.dx);
    }
  }
  stream.finish();
  return image;
}

}  // namespace cuclip::formats
