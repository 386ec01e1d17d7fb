#include "models/files/gzip.h"

#include <zlib.h>

#include <algorithm>
#include <limits>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr int kGzipWindow = 15 + 16;  // the largest window, in gzip's wrapping
constexpr size_t kMaxPiece = std::numeric_limits<uInt>::max();

struct Inflater {
  z_stream stream{};
  Inflater() {
    if (inflateInit2(&stream, kGzipWindow) != Z_OK) fail("gzip: zlib cannot start unpacking");
  }
  ~Inflater() { inflateEnd(&stream); }
};

struct Deflater {
  z_stream stream{};
  Deflater() {
    if (deflateInit2(&stream, Z_BEST_COMPRESSION, Z_DEFLATED, kGzipWindow, 9, Z_DEFAULT_STRATEGY) != Z_OK) {
      fail("gzip: zlib cannot start packing");
    }
  }
  ~Deflater() { deflateEnd(&stream); }
};

// zlib takes a pointer to mutable bytes and does not write through it.
Bytef* input(std::string_view bytes) {
  return const_cast<Bytef*>(reinterpret_cast<const Bytef*>(bytes.data()));
}

}  // namespace

bool is_gzip(std::string_view bytes) { return bytes.starts_with("\x1F\x8B"); }

std::string gunzip(std::string_view bytes, std::string_view name, int64_t max_size) {
  Inflater inflater;
  z_stream& stream = inflater.stream;
  std::string out;
  char buffer[1 << 16];
  for (;;) {
    if (stream.avail_in == 0) {
      const std::string_view piece = bytes.substr(0, kMaxPiece);
      stream.next_in = input(piece);
      stream.avail_in = static_cast<uInt>(piece.size());
      bytes.remove_prefix(piece.size());
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof(buffer);
    const int status = inflate(&stream, Z_NO_FLUSH);
    CUCLIP_CHECK(status == Z_OK || status == Z_STREAM_END, "{}: the gzip data is {}", name,
                 status == Z_BUF_ERROR ? "cut off" : "damaged");
    out.append(buffer, sizeof(buffer) - stream.avail_out);
    CUCLIP_CHECK(static_cast<int64_t>(out.size()) <= max_size, "{}: unpacks to more than {} bytes", name,
                 max_size);
    if (status != Z_STREAM_END) continue;
    if (stream.avail_in == 0 && bytes.empty()) return out;
    if (inflateReset(&stream) != Z_OK) fail("gzip: zlib cannot unpack a further member");
  }
}

std::string gzip(std::string_view contents) {
  Deflater deflater;
  z_stream& stream = deflater.stream;
  std::string out;
  char buffer[1 << 16];
  int status = Z_OK;
  while (status != Z_STREAM_END) {
    if (stream.avail_in == 0) {
      const std::string_view piece = contents.substr(0, kMaxPiece);
      stream.next_in = input(piece);
      stream.avail_in = static_cast<uInt>(piece.size());
      contents.remove_prefix(piece.size());
    }
    stream.next_out = reinterpret_cast<Bytef*>(buffer);
    stream.avail_out = sizeof(buffer);
    status = deflate(&stream, contents.empty() ? Z_FINISH : Z_NO_FLUSH);
    if (status != Z_OK && status != Z_STREAM_END) fail("gzip: zlib failed with code {}", status);
    out.append(buffer, sizeof(buffer) - stream.avail_out);
  }
  return out;
}

}  // namespace cuclip
