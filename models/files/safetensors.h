// The safetensors file format: an 8-byte header length, a JSON header, then the tensors' bytes.
// https://github.com/huggingface/safetensors (format description in its README)
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/file_io.h"
#include "core/input_file.h"
#include "kernels/common/tensor_view.h"

namespace cuclip {

/// One tensor of a file.
struct SafetensorsEntry {
  std::string dtype;  // as the format names it: F64 F32 F16 BF16 I64 I32 I16 I8 U8 BOOL ...
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;      // where its bytes are in the file
  std::span<const std::byte> data;  // the bytes; none where only the header was read

  int64_t elements() const;
  /// "F32 [2, 3]"
  std::string describe() const;
};

/// A file that was read and found to be whole: every range lies in the file, none overlap, none is missing,
/// and each has the size that its dtype and shape ask for.
class Safetensors {
 public:
  /// Maps the file and reads it whole. Throws InputError naming the file, what was expected and what was
  /// found. Pickled files (.pt, .bin) are recognised and refused with a hint.
  static Safetensors open(const std::filesystem::path& path);

  /// The same without the tensors' values: only the header is read, and the entries have no data.
  static Safetensors read_header(const InputFile& file);

  /// The metadata of a file, read as by read_header().
  static std::map<std::string, std::string> read_metadata(const std::filesystem::path& path);

  /// The same as open() for bytes in memory, which must outlive the result; `name` is for messages.
  static Safetensors parse(std::span<const std::byte> bytes, std::string_view name);

  const std::map<std::string, SafetensorsEntry>& tensors() const { return tensors_; }
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  const SafetensorsEntry* find(const std::string& name) const;
  const std::string& file() const { return file_; }

 private:
  struct Mapping;
  static std::shared_ptr<Mapping> map(const std::filesystem::path& path);
  static Safetensors parse_head(std::span<const std::byte> head, uint64_t file_size, std::string_view name);
  std::string file_;
  std::shared_ptr<Mapping> mapping_;
  std::map<std::string, SafetensorsEntry> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// Converts F32, BF16 or F16 values to f32; `out` has elements() places. Throws InputError for other dtypes.
void copy_to_f32(const SafetensorsEntry& entry, std::string_view name, std::span<float> out);

/// Writes the tensors (contiguous, f32, bf16, i32 or u8) in the order given, atomically. The same input gives
/// the same bytes.
void write_safetensors(const std::filesystem::path& path,
                       std::span<const std::pair<std::string, TensorView>> tensors,
                       const std::map<std::string, std::string>& metadata = {});

/// The same for a file that takes its place later, together with others.
PendingFile pending_safetensors(const std::filesystem::path& path,
                                std::span<const std::pair<std::string, TensorView>> tensors,
                                const std::map<std::string, std::string>& metadata = {});

}  // namespace cuclip
