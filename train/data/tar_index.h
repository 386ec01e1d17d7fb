// Reads the headers of a tar file, and nothing else: where each member's bytes are.
//
// Understood are ustar, pax (path and size) and GNU long names, and several archives one after the other
// ("cat a.tar b.tar"), as "tar --ignore-zeros" reads them. Nothing is ever extracted, so names are
// opaque: "../x" or "/etc/passwd" is a string like any other. Links, folders and devices carry no bytes that
// concern us: they are passed over and counted.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

namespace cuclip {

struct TarMember {
  std::string name;
  int64_t offset = 0;  // of the contents, from the start of the file
  int64_t size = 0;
  int64_t archive = 0;  // which of the archives in the file: counts the end-of-archive markers before it
};

struct TarCounts {
  int64_t files = 0;
  int64_t links = 0;       // hard or symbolic
  std::string first_link;  // its name
  int64_t others = 0;      // folders, devices, sparse files, unknown types

  // What follows the last archive's end-of-archive marker.
  int64_t zeros = 0;    // bytes of zeros at the end of the file: padding, if they are few
  int64_t foreign = 0;  // bytes from `foreign_at` onwards that are not an archive: not read
  int64_t foreign_at = 0;
};

/// Fills `into` with the bytes at `offset`; returns how many there were (fewer only at the end of the file).
using ReadAt = std::function<size_t(int64_t offset, std::span<char> into)>;

/// Calls on_member for every regular file, in order. `size` is the whole file's. Throws InputError naming
/// `tar`, the offset, what was expected and what was found: a checksum that does not match, a member longer
/// than the file, a file that is not tar at all. What follows an end-of-archive marker and is not another
/// archive is counted. A missing end-of-archive marker after a complete member is accepted, as by other
/// readers.
TarCounts walk_tar(const ReadAt& read, int64_t size, std::string_view tar,
                   const std::function<void(TarMember&&)>& on_member);

}  // namespace cuclip
