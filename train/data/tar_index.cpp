#include "train/data/tar_index.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/common/check.h"

namespace cuclip {
namespace {

constexpr int64_t kBlock = 512;
constexpr size_t kZerosAtOnce = 1 << 16;
constexpr int64_t kMaxExtension = 1 << 20;  // of a pax header or a long name: anything longer is not a name

// The fields of POSIX.1-1988 (ustar) headers that matter here, as (offset, length).
struct Field {
  size_t offset, length;
};
constexpr Field kName{0, 100}, kSize{124, 12}, kChecksum{148, 8}, kType{156, 1}, kMagic{257, 6},
    kPrefix{345, 155};

using Block = std::array<char, kBlock>;

std::string_view field(const Block& block, Field f) { return {block.data() + f.offset, f.length}; }

std::string_view text(const Block& block, Field f) {
  const std::string_view whole = field(block, f);
  return whole.substr(0, whole.find('\0'));
}

// Octal digits with spaces or zeros around them, or GNU's base 256 (first bit set), for sizes beyond 8 GiB.
std::optional<int64_t> number(std::string_view bytes) {
  if (static_cast<unsigned char>(bytes[0]) == 0x80) {
    uint64_t value = 0;
    for (size_t i = 1; i < bytes.size(); ++i) {
      if (value >> 55) return std::nullopt;
      value = value << 8 | static_cast<unsigned char>(bytes[i]);
    }
    return static_cast<int64_t>(value);
  }
  size_t i = bytes.find_first_not_of(' ');
  if (i == std::string_view::npos) return std::nullopt;
  int64_t value = 0;
  const size_t first = i;
  for (; i < bytes.size() && bytes[i] >= '0' && bytes[i] <= '7'; ++i) value = value * 8 + (bytes[i] - '0');
  const bool ended = i == bytes.size() || bytes[i] == ' ' || bytes[i] == '\0';
  if (i == first || !ended) return std::nullopt;
  return value;
}

// The sum of the header's bytes with the checksum field read as spaces. Some old writers summed signed bytes.
bool checksum_matches(const Block& block, int64_t stored, int64_t& expected) {
  int64_t sum = 0, signed_sum = 0;
  for (size_t i = 0; i < block.size(); ++i) {
    const bool inside = i >= kChecksum.offset && i < kChecksum.offset + kChecksum.length;
    sum += inside ? ' ' : static_cast<unsigned char>(block[i]);
    signed_sum += inside ? ' ' : static_cast<signed char>(block[i]);
  }
  expected = sum;
  return stored == sum || stored == signed_sum;
}

// What pax headers and GNU long names say about the member that follows them.
struct Overrides {
  std::optional<std::string> name;
  std::optional<int64_t> size;
};

class Walker {
 public:
  Walker(const ReadAt& read, int64_t size, std::string_view tar,
         const std::function<void(TarMember&&)>& on_member)
      : read_(read), size_(size), tar_(tar), on_member_(on_member) {}

  TarCounts walk() {
    Block block;
    while (position_ < size_) {
      const bool complete = read_block(block);
      const bool zero = is_zero(block);
      // At the end of an archive, what is left may be padding, another archive or something else.
      if (ended_ && !zero && !(complete && is_header(block))) {
        counts_.foreign = size_ - position_;
        counts_.foreign_at = position_;
        break;
      }
      CUCLIP_CHECK(complete || ended_,
                   "{}: truncated: expected a header of 512 bytes at byte {}, found {} bytes", tar_,
                   position_, size_ - position_);
      if (zero) {
        starts_with_zeros_ = starts_with_zeros_ || position_ == 0;
        skip_zeros();
      } else {
        ended_ = false;
        const int64_t header = position_;
        position_ += kBlock;
        check_header(block, header);
        take(block, header);
      }
    }
    check_not_empty();
    return counts_;
  }

 private:
  static bool is_zero(std::span<const char> bytes) {
    return std::all_of(bytes.begin(), bytes.end(), [](char byte) { return byte == 0; });
  }

  // To the block with the next byte that is not zero, or to the end.
  void skip_zeros() {
    if (!std::exchange(ended_, true)) ++archive_;
    next_ = {};
    std::vector<char> bytes(kZerosAtOnce);
    for (counts_.zeros = 0; position_ < size_;) {
      const size_t got = read_(position_, bytes);
      if (got == 0) fail_input("{}: expected {} bytes, found {}", tar_, size_, position_);
      const auto end = bytes.begin() + static_cast<std::ptrdiff_t>(got);
      const auto other = std::find_if(bytes.begin(), end, [](char byte) { return byte != 0; });
      const int64_t zeros =
          other == end ? static_cast<int64_t>(got) : (other - bytes.begin()) / kBlock * kBlock;
      position_ += zeros;
      counts_.zeros += zeros;
      if (other != end) {
        counts_.zeros = 0;
        return;
      }
    }
  }

  // An archive without members is two zero blocks; a longer file of nothing but zeros is what a broken
  // download leaves.
  void check_not_empty() const {
    constexpr int64_t kEmptyArchive = 10240;  // writers pad to 20 blocks
    const bool members = counts_.files + counts_.links + counts_.others > 0;
    CUCLIP_CHECK(members || !starts_with_zeros_ || size_ <= kEmptyArchive,
                 "{}: expected a tar file, found zeros at its start", tar_);
  }

  // Fills the block, with zeros beyond the end of the file; returns whether the file had all of it.
  bool read_block(Block& block) {
    const size_t got = read_(position_, block);
    std::fill(block.begin() + static_cast<std::ptrdiff_t>(got), block.end(), 0);
    return static_cast<int64_t>(got) == kBlock;
  }

  static bool is_header(const Block& block) {
    const std::optional<int64_t> stored = number(field(block, kChecksum));
    int64_t expected = 0;
    return stored && checksum_matches(block, *stored, expected);
  }

  void check_header(const Block& block, int64_t header) const {
    const std::string_view start = field(block, {0, 4});
    CUCLIP_CHECK(
        header != 0 || start.substr(0, 2) != "\x1f\x8b",
        "{}: expected a plain tar file, found gzip; samples are read by position, so decompress it first "
        "(gunzip)",
        tar_);
    const std::optional<int64_t> stored = number(field(block, kChecksum));
    int64_t expected = 0;
    const bool good = stored && checksum_matches(block, *stored, expected);
    if (!good && header == 0) {
      fail_input("{}: expected a tar file, found something else (the first header's checksum does not match)",
                 tar_);
    }
    if (!good) {
      if (!stored) checksum_matches(block, 0, expected);
      fail_input("{}: corrupt header at byte {}: its checksum should be {}, found {}", tar_, header, expected,
                 stored ? std::to_string(*stored) : "no number");
    }
  }

  void check_not_sparse(bool sparse, int64_t header) const {
    CUCLIP_CHECK(!sparse,
                 "{}: the member at byte {} is sparse, which is not supported: pack it without --sparse",
                 tar_, header);
  }

  void take(const Block& block, int64_t header) {
    const std::optional<int64_t> in_header = number(field(block, kSize));
    CUCLIP_CHECK(in_header.has_value(), "{}: corrupt header at byte {}: its size is not a number", tar_,
                 header);
    const char type = block[kType.offset];
    const bool extension = type == 'x' || type == 'g' || type == 'L' || type == 'K';
    const int64_t size = extension ? *in_header : next_.size.value_or(*in_header);
    check_not_sparse(type == 'S', header);
    // Links and folders may state a size although no contents follow.
    const bool no_contents =
        type == '1' || type == '2' || type == '5' || type == '3' || type == '4' || type == '6';
    if (!no_contents) {
      CUCLIP_CHECK(size >= 0 && size <= size_ - position_,
                   "{}: truncated: the member at byte {} has {} bytes, {} are left in the file", tar_, header,
                   size, size_ - position_);
    }
    const int64_t contents = position_;
    if (!no_contents) position_ += (size + kBlock - 1) / kBlock * kBlock;
    if (extension) return extend(type, contents, size, header);
    finish(block, type, contents, size);
    next_ = {};
  }

  void finish(const Block& block, char type, int64_t contents, int64_t size) {
    if (type == '1' || type == '2') {
      if (counts_.links++ == 0) counts_.first_link = name_of(block);
    } else if (type == '0' || type == '\0' || type == '7') {
      ++counts_.files;
      on_member_({.name = name_of(block), .offset = contents, .size = size, .archive = archive_});
    } else {
      ++counts_.others;
    }
  }

  std::string name_of(const Block& block) const { return next_.name ? *next_.name : header_name(block); }

  static std::string header_name(const Block& block) {
    std::string name(text(block, kName));
    // GNU's own format keeps other things where ustar keeps the prefix.
    const bool ustar = field(block, kMagic) == std::string_view("ustar\0", 6);
    const std::string_view prefix = text(block, kPrefix);
    if (ustar && !prefix.empty()) name = std::string(prefix) + "/" + name;
    return name;
  }

  void extend(char type, int64_t contents, int64_t size, int64_t header) {
    if (type == 'g' || type == 'K') return;  // archive-wide comments, names of link targets
    CUCLIP_CHECK(size <= kMaxExtension,
                 "{}: the name in the header at byte {} has {} bytes, at most {} are read", tar_, header,
                 size, kMaxExtension);
    std::string bytes(static_cast<size_t>(size), '\0');
    const size_t got = read_(contents, bytes);
    CUCLIP_CHECK(got == bytes.size(), "{}: truncated in the header at byte {}", tar_, header);
    if (type == 'L') {
      next_.name = bytes.substr(0, bytes.find('\0'));
    } else {
      parse_pax(bytes, header);
    }
  }

  // Records "LENGTH KEY=VALUE\n", where LENGTH counts the whole record.
  void parse_pax(std::string_view records, int64_t header) {
    while (!records.empty()) {
      int64_t length = 0;
      const auto [end, error] = std::from_chars(records.data(), records.data() + records.size(), length);
      const auto digits = static_cast<int64_t>(end - records.data());
      const bool good = error == std::errc() && length > digits + 1 && length <= std::ssize(records) &&
                        *end == ' ' && records[static_cast<size_t>(length) - 1] == '\n';
      CUCLIP_CHECK(good, "{}: corrupt pax header at byte {}", tar_, header);
      const auto start = static_cast<size_t>(digits) + 1;
      const std::string_view record = records.substr(start, static_cast<size_t>(length) - start - 1);
      records.remove_prefix(static_cast<size_t>(length));
      const size_t equals = record.find('=');
      CUCLIP_CHECK(equals != std::string_view::npos, "{}: corrupt pax header at byte {}", tar_, header);
      take_pax(record.substr(0, equals), record.substr(equals + 1), header);
    }
  }

  void take_pax(std::string_view key, std::string_view value, int64_t header) {
    check_not_sparse(key.starts_with("GNU.sparse."), header);
    if (key == "path") next_.name = std::string(value);
    if (key != "size") return;
    int64_t size = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), size);
    CUCLIP_CHECK(error == std::errc() && end == value.data() + value.size() && size >= 0,
                 "{}: corrupt pax header at byte {}: its size is not a number", tar_, header);
    next_.size = size;
  }

  const ReadAt& read_;
  int64_t size_;
  std::string_view tar_;
  const std::function<void(TarMember&&)>& on_member_;
  int64_t position_ = 0;
  int64_t archive_ = 0;
  bool starts_with_zeros_ = false;
  bool ended_ = false;  // the last thing that was read was an end-of-archive marker
  Overrides next_;
  TarCounts counts_;
};

}  // namespace

TarCounts walk_tar(const ReadAt& read, int64_t size, std::string_view tar,
                   const std::function<void(TarMember&&)>& on_member) {
  CUCLIP_CHECK(size > 0, "{}: expected a tar file, found 0 bytes", tar);
  return Walker(read, size, tar, on_member).walk();
}

}  // namespace cuclip
