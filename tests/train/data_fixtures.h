// Hand-made tar files for the tests of data sources.
#pragma once

#include <cstdint>
#include <cstdio>
#include <string>

#include "tests/support/command.h"

namespace cuclip::test {

/// The bytes of a tar file, written field by field, so that wrong ones can be written too.
class TarBytes {
 public:
  static std::string header(const std::string& name, const std::string& size_field, char type = '0',
                            const std::string& prefix = "") {
    std::string block(512, '\0');
    auto put = [&](size_t offset, const std::string& text) { block.replace(offset, text.size(), text); };
    put(0, name);
    put(100, "0000644");
    put(124, size_field);
    put(136, "00000000000");
    put(148, "        ");
    put(156, std::string(1, type));
    put(257, std::string("ustar\0"
                         "00",
                         8));
    put(345, prefix);
    unsigned sum = 0;
    for (char c : block) sum += static_cast<unsigned char>(c);
    char checksum[8];
    std::snprintf(checksum, sizeof(checksum), "%06o", sum);
    put(148, std::string(checksum, 7));
    return block;
  }

  static std::string octal(size_t size) {
    char text[13];
    std::snprintf(text, sizeof(text), "%011zo", size);
    return text;
  }

  static std::string padded(std::string contents) {
    contents.resize((contents.size() + 511) / 512 * 512, '\0');
    return contents;
  }

  TarBytes& file(const std::string& name, const std::string& contents, char type = '0') {
    bytes_ += header(name, octal(contents.size()), type) + padded(contents);
    return *this;
  }

  TarBytes& raw(const std::string& bytes) {
    bytes_ += bytes;
    return *this;
  }

  TarBytes& pax(const std::string& key, const std::string& value) {
    // The length counts its own digits.
    size_t length = key.size() + value.size() + 3;
    size_t digits = std::to_string(length).size();
    while (std::to_string(length + digits).size() != digits) ++digits;
    const std::string record = std::to_string(length + digits) + " " + key + "=" + value + "\n";
    return file("PaxHeader", record, 'x');
  }

  TarBytes& gnu_long_name(const std::string& name) { return file("././@LongLink", name + '\0', 'L'); }

  /// With the end-of-archive marker.
  std::string finish() const { return bytes_ + std::string(1024, '\0'); }
  /// Without it.
  const std::string& bytes() const { return bytes_; }

 private:
  std::string bytes_;
};

}  // namespace cuclip::test
