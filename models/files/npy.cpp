#include "models/files/npy.h"

#include <string>

#include "core/file_io.h"

namespace cuclip {
namespace {

const char* descriptor(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "<f4";
    case DType::i32:
      return "<i4";
    case DType::u8:
      return "|u1";
    case DType::bf16:
      break;
  }
  fail_input("npy: NumPy has no {}; convert to f32 first", name_of(dtype));
}

std::string header_of(const TensorView& tensor) {
  std::string shape;
  for (int i = 0; i < tensor.rank(); ++i) shape += fmt::format("{}, ", tensor.size(i));
  if (tensor.rank() > 1) shape.resize(shape.size() - 2);  // a tuple of one keeps its comma
  std::string dictionary = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': ({}), }}",
                                       descriptor(tensor.dtype), shape);
  // Magic, version and length are 10 bytes; the data starts at a multiple of 64, after a line feed.
  dictionary.append(63 - (10 + dictionary.size()) % 64, ' ');
  dictionary += '\n';
  std::string header("\x93NUMPY\x01\x00", 8);
  header += static_cast<char>(dictionary.size() & 0xff);
  header += static_cast<char>(dictionary.size() >> 8);
  return header + dictionary;
}

}  // namespace

void write_npy(const std::filesystem::path& path, const TensorView& tensor) {
  CUCLIP_CHECK(tensor.is_contiguous(), "npy: the tensor must be contiguous");
  const std::string header = header_of(tensor);
  write_file_atomic(path, [&](const ByteSink& sink) {
    sink(std::as_bytes(std::span<const char>(header)));
    sink({static_cast<const std::byte*>(tensor.data),
          static_cast<size_t>(tensor.elements()) * size_of(tensor.dtype)});
  });
}

}  // namespace cuclip
