#include "models/files/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>
#include <tuple>

#include "core/file_io.h"
#include "models/files/names.h"
#include "models/files/strict_json.h"

namespace cuclip {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little,
              "the format is little-endian, and values are copied as they are");

constexpr const char* kMetadataKey = "__metadata__";
constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxRank = 8;

// Bits per element, 0 for a dtype that the format does not have.
int bits_of(std::string_view dtype) {
  static constexpr std::pair<std::string_view, int> kDtypes[] = {
      {"BOOL", 8}, {"U8", 8},   {"I8", 8},   {"F8_E4M3", 8}, {"F8_E5M2", 8},
      {"I16", 16}, {"U16", 16}, {"F16", 16}, {"BF16", 16},   {"I32", 32},
      {"U32", 32}, {"F32", 32}, {"F64", 64}, {"I64", 64},    {"U64", 64}};
  for (const auto& [name, bits] : kDtypes) {
    if (name == dtype) return bits;
  }
  return 0;
}

// What people pass by mistake. A safetensors header starts with "{" after its length, whatever the bytes of
// the length look like (those of 640 are the first two of a pickle).
void refuse_other_formats(std::span<const std::byte> bytes, std::string_view file) {
  const std::string_view head(reinterpret_cast<const char*>(bytes.data()),
                              std::min<size_t>(bytes.size(), 64));
  if (head.size() > 8 && head[8] == '{') return;
  const bool zip = head.starts_with("PK\x03\x04");
  const bool pickle = head.size() > 1 && head[0] == '\x80' && head[1] >= 2 && head[1] <= 5;
  CUCLIP_CHECK(
      !zip && !pickle,
      "{}: this is a pickled PyTorch file, expected safetensors. Pickles can run code and are not read; "
      "convert "
      "it in Python: safetensors.torch.save_file(torch.load(FILE, weights_only=True), 'model.safetensors')",
      file);
  CUCLIP_CHECK(
      !head.starts_with("version https://git-lfs"),
      "{}: this is a Git LFS pointer, expected safetensors; fetch the file itself with `git lfs pull`", file);
  CUCLIP_CHECK(!head.starts_with("<"),
               "{}: this looks like HTML or XML, expected safetensors (a failed download?)", file);
}

uint64_t unsigned_at(const json& value, std::string_view file, std::string_view tensor, const char* what) {
  CUCLIP_CHECK(value.is_number_unsigned(), "{}: {}: {} must be a whole number >= 0, got {}", file, tensor,
               what, excerpt(value));
  return value.get<uint64_t>();
}

// `data`: where the tensors' bytes are in the file.
struct Range {
  uint64_t begin, end;
  uint64_t size() const { return end - begin; }
};

SafetensorsEntry parse_entry(const json& description, Range data, std::string_view file,
                             std::string_view tensor) {
  const std::string name = shortened_name(tensor);
  CUCLIP_CHECK(description.is_object() && description.contains("dtype") && description["dtype"].is_string() &&
                   description.contains("shape") && description["shape"].is_array() &&
                   description.contains("data_offsets") && description["data_offsets"].is_array() &&
                   description["data_offsets"].size() == 2,
               "{}: {}: expected an object with dtype, shape and two data_offsets, got {}", file, name,
               excerpt(description));
  SafetensorsEntry entry;
  entry.dtype = description["dtype"].get<std::string>();
  const int bits = bits_of(entry.dtype);
  CUCLIP_CHECK(bits > 0, "{}: {}: unknown dtype \"{}\"", file, name, shortened_name(entry.dtype));
  const json& shape = description["shape"];
  CUCLIP_CHECK(shape.size() <= kMaxRank, "{}: {}: the shape has {} dimensions, expected at most {}", file,
               name, shape.size(), kMaxRank);
  uint64_t bytes = static_cast<uint64_t>(bits) / 8;
  for (const json& extent : shape) {
    const uint64_t e = unsigned_at(extent, file, name, "an extent of the shape");
    CUCLIP_CHECK(!__builtin_mul_overflow(bytes, e, &bytes) && e <= INT64_MAX,
                 "{}: {}: the shape {} has more elements than fit in 64 bits", file, name, excerpt(shape));
    entry.shape.push_back(static_cast<int64_t>(e));
  }
  const uint64_t begin = unsigned_at(description["data_offsets"][0], file, name, "an offset");
  const uint64_t end = unsigned_at(description["data_offsets"][1], file, name, "an offset");
  CUCLIP_CHECK(
      begin <= end && end <= data.size(),
      "{}: {}: its bytes {} to {} do not lie in the file, which has {} bytes of tensors (is it truncated?)",
      file, name, begin, end, data.size());
  CUCLIP_CHECK(end - begin == bytes, "{}: {}: {} takes {} bytes, the offsets give {}", file, name,
               entry.describe(), bytes, end - begin);
  entry.begin = data.begin + begin;
  entry.end = data.begin + end;
  return entry;
}

// The tensors must cover the data without gap or overlap.
void check_coverage(const std::map<std::string, SafetensorsEntry>& tensors, Range data,
                    std::string_view file) {
  std::vector<std::tuple<uint64_t, uint64_t, const std::string*>> order;
  for (const auto& [name, entry] : tensors) order.emplace_back(entry.begin, entry.end, &name);
  std::sort(order.begin(), order.end(), [](const auto& a, const auto& b) {
    return std::tie(std::get<0>(a), std::get<1>(a)) < std::tie(std::get<0>(b), std::get<1>(b));
  });
  uint64_t at = data.begin;
  for (const auto& [begin, end, name] : order) {
    CUCLIP_CHECK(begin >= at, "{}: {}: its bytes overlap those of another tensor", file,
                 shortened_name(*name));
    CUCLIP_CHECK(begin == at, "{}: {} bytes before {} belong to no tensor", file, begin - at,
                 shortened_name(*name));
    at = end;
  }
  CUCLIP_CHECK(at == data.end, "{}: the last {} bytes belong to no tensor", file, data.end - at);
}

// Without a branch, so that a loop over it becomes vector instructions. The factor moves the exponent's bias
// from 15 to 127, which is exact for subnormals too.
float half_to_float(uint16_t h) {
  const float magnitude = std::bit_cast<float>(static_cast<uint32_t>(h & 0x7fffu) << 13) * 0x1p112f;
  const uint32_t not_finite = (h & 0x7c00u) == 0x7c00u ? 0x7f800000u : 0u;
  const uint32_t sign = static_cast<uint32_t>(h & 0x8000u) << 16;
  return std::bit_cast<float>(std::bit_cast<uint32_t>(magnitude) | not_finite | sign);
}

float bfloat16_to_float(uint16_t b) { return std::bit_cast<float>(static_cast<uint32_t>(b) << 16); }

// out = convert(each 16 bits of `in`, which need not be aligned).
template <typename Convert>
void widen(std::span<const std::byte> in, std::span<float> out, Convert convert) {
  for (size_t i = 0; i < out.size(); ++i) {
    uint16_t bits = 0;
    std::memcpy(&bits, in.data() + 2 * i, 2);
    out[i] = convert(bits);
  }
}

std::string_view format_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::i32:
      return "I32";
    case DType::u8:
      return "U8";
  }
  return "";
}

}  // namespace

int64_t SafetensorsEntry::elements() const {
  int64_t n = 1;
  for (int64_t extent : shape) n *= extent;
  return n;
}

std::string SafetensorsEntry::describe() const {
  std::string text = dtype + " [";
  for (size_t i = 0; i < shape.size(); ++i) text += fmt::format("{}{}", i ? ", " : "", shape[i]);
  return text + "]";
}

struct Safetensors::Mapping {
  void* address = nullptr;
  size_t size = 0;
  ~Mapping() {
    if (address) ::munmap(address, size);
  }
  std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(address), size}; }
};

namespace {

// Fetches a mapped file's pages. One that the disk cannot give would otherwise end the process with SIGBUS
// when it is touched.
void fetch(void* address, size_t size, const std::filesystem::path& path) {
  constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ, which older headers lack
  if (::madvise(address, size, kPopulateRead) == 0 || errno == EINVAL) return;  // before Linux 5.14: unknown
  const int why = errno == EFAULT ? EIO : errno;
  fail_input("cannot read {}: {}", path.string(), std::strerror(why));
}

}  // namespace

std::shared_ptr<Safetensors::Mapping> Safetensors::map(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  CUCLIP_CHECK(fd >= 0, "cannot read {}: {}", path.string(), std::strerror(errno));
  struct stat info {};
  ::fstat(fd, &info);
  auto mapping = std::make_shared<Mapping>();
  mapping->size = S_ISREG(info.st_mode) ? static_cast<size_t>(info.st_size) : 0;
  if (mapping->size > 0) {
    void* address = ::mmap(nullptr, mapping->size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (address != MAP_FAILED) mapping->address = address;
  }
  ::close(fd);
  CUCLIP_CHECK(mapping->address, "{}: expected a safetensors file, found {}", path.string(),
               S_ISDIR(info.st_mode)   ? "a folder"
               : S_ISREG(info.st_mode) ? "an empty file"
                                       : "something that is not a regular file");
  return mapping;
}

Safetensors Safetensors::open(const std::filesystem::path& path) {
  std::shared_ptr<Mapping> mapping = map(path);
  fetch(mapping->address, mapping->size, path);
  Safetensors file = parse(mapping->bytes(), path.string());
  file.mapping_ = std::move(mapping);
  return file;
}

Safetensors Safetensors::parse(std::span<const std::byte> bytes, std::string_view name) {
  Safetensors file = parse_head(bytes, bytes.size(), name);
  for (auto& [key, entry] : file.tensors_) entry.data = bytes.subspan(entry.begin, entry.end - entry.begin);
  return file;
}

Safetensors Safetensors::read_header(const InputFile& file) {
  CUCLIP_CHECK(file.size() > 0, "{}: expected a safetensors file, found an empty file", file.name());
  // Enough to recognise other formats, and the header's length.
  std::string head = file.read_exactly(0, std::min<int64_t>(file.size(), 64));
  uint64_t header_size = 0;
  std::memcpy(&header_size, head.data(), std::min<size_t>(head.size(), 8));
  // If parse_head() is going to refuse the length, no more is read.
  if (header_size <= kMaxHeaderBytes)
    head = file.read_exactly(0, std::min(file.size(), static_cast<int64_t>(8 + header_size)));
  return parse_head(std::as_bytes(std::span<const char>(head)), static_cast<uint64_t>(file.size()),
                    file.name());
}

std::map<std::string, std::string> Safetensors::read_metadata(const std::filesystem::path& path) {
  return read_header(InputFile(path)).metadata_;
}

// `head`: the file's first bytes, with the whole header if the file has it.
Safetensors Safetensors::parse_head(std::span<const std::byte> head, uint64_t file_size,
                                    std::string_view name) {
  refuse_other_formats(head, name);
  CUCLIP_CHECK(file_size >= 8, "{}: expected a safetensors file, found only {} bytes", name, file_size);
  uint64_t header_size = 0;
  std::memcpy(&header_size, head.data(), 8);
  CUCLIP_CHECK(
      header_size <= kMaxHeaderBytes && header_size <= file_size - 8,
      "{}: the header claims {} bytes, the file has {} after its length (not safetensors, or truncated)",
      name, header_size, file_size - 8);
  const std::string_view text(reinterpret_cast<const char*>(head.data()) + 8, header_size);
  const Range data{.begin = 8 + header_size, .end = file_size};
  Safetensors file;
  file.file_ = name;
  const json header = parse_strict_json(text, fmt::format("{}: header", name));
  for (const auto& [key, value] : header.items()) {
    if (key != kMetadataKey) {
      file.tensors_.emplace(key, parse_entry(value, data, name, key));
      continue;
    }
    CUCLIP_CHECK(value.is_object(), "{}: __metadata__ must be an object, got {}", name, value.type_name());
    for (const auto& [k, v] : value.items()) {
      CUCLIP_CHECK(v.is_string(), "{}: __metadata__ must hold strings, \"{}\" is {}", name, shortened_name(k),
                   v.type_name());
      file.metadata_.emplace(k, v.get<std::string>());
    }
  }
  check_coverage(file.tensors_, data, name);
  return file;
}

const SafetensorsEntry* Safetensors::find(const std::string& name) const {
  const auto it = tensors_.find(name);
  return it == tensors_.end() ? nullptr : &it->second;
}

void copy_to_f32(const SafetensorsEntry& entry, std::string_view name, std::span<float> out) {
  CUCLIP_CHECK(static_cast<int64_t>(out.size()) == entry.elements(), "{}: {} values wanted, the file has {}",
               name, out.size(), entry.describe());
  if (entry.dtype == "F32") {
    if (!out.empty()) std::memcpy(out.data(), entry.data.data(), entry.data.size());
    return;
  }
  const bool bf16 = entry.dtype == "BF16";
  CUCLIP_CHECK(bf16 || entry.dtype == "F16", "{}: expected F32, BF16 or F16, found {}", name, entry.dtype);
  if (bf16) {
    widen(entry.data, out, [](uint16_t bits) { return bfloat16_to_float(bits); });
  } else {
    widen(entry.data, out, [](uint16_t bits) { return half_to_float(bits); });
  }
}

void write_safetensors(const std::filesystem::path& path,
                       std::span<const std::pair<std::string, TensorView>> tensors,
                       const std::map<std::string, std::string>& metadata) {
  pending_safetensors(path, tensors, metadata).commit();
}

PendingFile pending_safetensors(const std::filesystem::path& path,
                                std::span<const std::pair<std::string, TensorView>> tensors,
                                const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  if (!metadata.empty()) header[kMetadataKey] = metadata;
  uint64_t offset = 0;
  for (const auto& [name, view] : tensors) {
    CUCLIP_CHECK(name != kMetadataKey, "safetensors: a tensor cannot be named {}", name);
    CUCLIP_CHECK(!header.contains(name), "safetensors: there are two tensors named {}", name);
    CUCLIP_CHECK(view.data != nullptr || view.elements() == 0, "safetensors: {} was not given", name);
    CUCLIP_CHECK(view.is_contiguous(), "safetensors: {} must be contiguous", name);
    const uint64_t size = static_cast<uint64_t>(view.elements()) * size_of(view.dtype);
    auto shape = nlohmann::ordered_json::array();
    for (int i = 0; i < view.rank(); ++i) shape.push_back(view.size(i));
    header[name] = {
        {"dtype", format_name(view.dtype)}, {"shape", shape}, {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the tensors start at a multiple of 8 bytes
  const uint64_t header_size = text.size();
  return PendingFile(path, [&](const ByteSink& sink) {
    sink(std::as_bytes(std::span(&header_size, 1)));
    sink(std::as_bytes(std::span<const char>(text)));
    for (const auto& [name, view] : tensors) {
      sink({static_cast<const std::byte*>(view.data),
            static_cast<size_t>(view.elements()) * size_of(view.dtype)});
    }
  });
}

}  // namespace cuclip
