// BMP, GIF, PNM, PSD and TGA through stb_image, and what it leaves to its caller: it takes zeros for what a
// truncated file lacks, and allocates what the file asks for.
#include <algorithm>
#include <cstdlib>
#include <new>
#include <string_view>

#include "models/image/image_formats.h"

namespace cuclip::formats {
namespace {

// What stb_image may still allocate for the picture that this thread decodes, and whether the system had not
// even that.
thread_local int64_t allowance = 0;
thread_local bool no_memory = false;

void* allocate(size_t size) {
  if (static_cast<int64_t>(size) > allowance) return nullptr;
  allowance -= static_cast<int64_t>(size);
  void* memory = std::malloc(size);
  if (!memory) no_memory = true;
  return memory;
}

}  // namespace
}  // namespace cuclip::formats

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC  // a program that links the library may have stb_image itself
#define STBI_ONLY_BMP
#define STBI_ONLY_GIF
#define STBI_ONLY_PNM
#define STBI_ONLY_PSD
#define STBI_ONLY_TGA
#define STBI_NO_LINEAR
#define STBI_NO_STDIO
#define STBI_MALLOC(size) ::cuclip::formats::allocate(size)
#define STBI_FREE(block) std::free(block)
// Only what reads all frames of an animation at a time calls it.
#define STBI_REALLOC(block, size) nullptr
#include <stb_image.h>

namespace cuclip::formats {
namespace {

// A GIF's decoder takes 34 kB, and for each pixel two pictures of 4 bytes and a byte that says whether it is
// drawn; the others take less.
constexpr int64_t kFixedAllowance = 1 << 20;
constexpr int64_t kAllowanceOfPixel = 9;

// Hands the pieces of a file to stb_image, and notes when it wants more than there is.
class PieceReader {
 public:
  explicit PieceReader(std::span<const Bytes> pieces) : pieces_(pieces) {}
  bool ran_out() const { return ran_out_; }

  static const stbi_io_callbacks* callbacks() {
    static constexpr stbi_io_callbacks kCallbacks = {
        [](void* reader, char* out, int size) { return static_cast<PieceReader*>(reader)->read(out, size); },
        [](void* reader, int size) { static_cast<PieceReader*>(reader)->skip(size); },
        [](void* reader) { return static_cast<PieceReader*>(reader)->at_end() ? 1 : 0; }};
    return &kCallbacks;
  }

 private:
  // The first call fills stb_image's own buffer, and so do all with the same address: as far as there is
  // something, when the buffer is empty and a byte is wanted. The others want all that they ask for.
  int read(char* out, int size) {
    if (!buffer_) buffer_ = out;
    const int64_t count = take(size, out);
    ran_out_ = ran_out_ || (out == buffer_ ? count == 0 : count < size);
    return static_cast<int>(count);
  }

  void skip(int64_t size) { ran_out_ = take(size, nullptr) < size || ran_out_; }

  bool at_end() {
    while (!pieces_.empty() && at_ == pieces_.front().size()) {
      pieces_ = pieces_.subspan(1);
      at_ = 0;
    }
    return pieces_.empty();
  }

  int64_t take(int64_t size, char* out) {
    int64_t taken = 0;
    while (taken < size && !at_end()) {
      const Bytes left = pieces_.front().subspan(at_);
      const size_t count = std::min(left.size(), static_cast<size_t>(size - taken));
      if (out) std::copy_n(left.begin(), count, out + taken);
      at_ += count;
      taken += static_cast<int64_t>(count);
    }
    return taken;
  }

  std::span<const Bytes> pieces_;
  size_t at_ = 0;  // in the first of them
  const char* buffer_ = nullptr;
  bool ran_out_ = false;
};

}  // namespace

StbPicture read_stb(std::span<const Bytes> pieces, std::string_view name, std::string_view format,
                    const DecodeOptions& options) {
  const auto check = [&](const PieceReader& reader, bool done) {
    CUCLIP_CHECK(!reader.ran_out(), "{}: truncated {}: the file ends before the picture", name, format);
    if (!done && no_memory) throw std::bad_alloc();
    const std::string_view reason = done ? "" : stbi_failure_reason();
    CUCLIP_CHECK(done, "{}: a damaged {} picture, or one of a kind that stb_image does not read: {}", name,
                 format, reason.empty() ? "there are no pixels" : reason);
  };
  int width = 0, height = 0, channels = 0;
  no_memory = false;
  allowance = kFixedAllowance;
  PieceReader header(pieces);
  check(header, stbi_info_from_callbacks(PieceReader::callbacks(), &header, &width, &height, &channels));
  height = std::abs(height);  // a BMP's is negative where its rows run from top to bottom
  check_size(name, format, width, height, options);

  allowance = kFixedAllowance + kAllowanceOfPixel * width * height;
  PieceReader reader(pieces);
  StbPicture picture;
  picture.pixels.reset(stbi_load_from_callbacks(PieceReader::callbacks(), &reader, &picture.width,
                                                &picture.height, &picture.channels, 0));
  check(reader, picture.pixels != nullptr);
  return picture;
}

Image on_white(const StbPicture& picture) {
  Image image = make_image(picture.width, picture.height);
  composite_on_white(picture.pixels.get(), picture.channels, int64_t{picture.width} * picture.height,
                     image.rgb.data());
  return image;
}

}  // namespace cuclip::formats
