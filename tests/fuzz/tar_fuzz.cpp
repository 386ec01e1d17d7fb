// walk_tar on arbitrary bytes: every member lies inside the file, in order, or InputError; then the captions
// of what was found, which are valid UTF-8 or refused.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "models/files/csv.h"
#include "train/data/captions.h"
#include "train/data/sample.h"
#include "train/data/tar_index.h"

namespace {

constexpr size_t kBlock = 512;

// Gives every block that says it is a ustar header its right checksum; without this hardly any input would
// get beyond the first.
void repair_checksums(std::string& file) {
  for (size_t at = 0; at + kBlock <= file.size(); at += kBlock) {
    if (file.compare(at + 257, 5, "ustar") != 0) continue;
    file.replace(at + 148, 8, "        ");
    unsigned sum = 0;
    for (size_t i = 0; i < kBlock; ++i) sum += static_cast<unsigned char>(file[at + i]);
    char text[8];
    std::snprintf(text, sizeof(text), "%06o", sum);
    file.replace(at + 148, 7, std::string(text, 7));
  }
}

void check_captions(const std::string& contents) {
  try {
    for (const std::string& caption :
         cuclip::read_caption_files({.json = contents, .text = contents}, "input", 64)) {
      if (caption.empty() || caption.size() > 64) std::abort();
      if (cuclip::normalise_caption(caption).text != caption) std::abort();  // a second time changes nothing
    }
  } catch (const cuclip::InputError&) {
  }
  try {
    cuclip::CsvReader reader(contents, ',', "input");
    for (std::vector<std::string> fields; reader.next(fields);) {
      if (fields.empty()) std::abort();
    }
  } catch (const cuclip::InputError&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string file(reinterpret_cast<const char*>(data), size);
  repair_checksums(file);
  const cuclip::ReadAt read = [&](int64_t offset, std::span<char> into) {
    if (offset < 0) std::abort();
    const size_t start = std::min(static_cast<size_t>(offset), file.size());
    const size_t n = std::min(into.size(), file.size() - start);
    std::memcpy(into.data(), file.data() + start, n);
    return n;
  };
  int64_t end = 0;
  try {
    cuclip::walk_tar(read, std::ssize(file), "input", [&](cuclip::TarMember&& member) {
      if (member.offset < end || member.size < 0 || member.size > std::ssize(file) - member.offset)
        std::abort();
      end = member.offset + member.size;
      check_captions(file.substr(static_cast<size_t>(member.offset), static_cast<size_t>(member.size)));
    });
  } catch (const cuclip::InputError&) {
  }
  return 0;
}
