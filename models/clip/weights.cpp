#include "models/clip/weights.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <cstring>
#include <set>
#include <vector>

#include "models/clip/position_resample.h"
#include "models/files/names.h"
#include "models/files/safetensors.h"
#include "models/files/weight_files.h"

namespace cuclip {
namespace {

constexpr size_t kListed = 10;  // names in a message

// What a thread reads and checks at a time: it stays in the thread's cache.
constexpr int64_t kPiece = int64_t{1} << 18;  // values

using Entries = std::map<std::string, const WeightFiles::Stored*>;
using Names = std::set<std::string>;

std::string joined(const std::vector<std::string>& items) {
  std::string text;
  for (size_t i = 0; i < std::min(items.size(), kListed); ++i)
    text += (i ? ", " : "") + shortened_name(items[i]);
  if (items.size() > kListed) text += fmt::format(" and {} more", items.size() - kListed);
  return text;
}

// What does not fit between a file and a model, for one message.
struct Misfits {
  std::vector<std::string> missing, unexpected, wrong;

  void throw_if_any(const std::string& file, const std::string& config) const {
    if (missing.empty() && unexpected.empty() && wrong.empty()) return;
    std::string text = file + ": the weights do not fit the model";
    text += config.empty() ? "." : " that " + config + " describes.";
    if (!missing.empty()) text += "\n  missing: " + joined(missing);
    if (!wrong.empty()) text += "\n  of another shape: " + joined(wrong);
    if (!unexpected.empty()) text += "\n  not expected: " + joined(unexpected);
    throw InputError(text);
  }
};

Entries entries_of(const WeightFiles& files) {
  Entries entries;
  for (const auto& [name, stored] : files.tensors()) {
    const std::string plain(without_wrappers(name));
    CUCLIP_CHECK(entries.emplace(plain, &stored).second,
                 "{}: two tensors are called {} once prefixes are left out", files.name(),
                 shortened_name(plain));
  }
  return entries;
}

WeightNames names_in(const Entries& entries) {
  const auto has_prefix = [&](const std::string& prefix) {
    const auto it = entries.lower_bound(prefix);
    return it != entries.end() && it->first.starts_with(prefix);
  };
  return has_prefix("vision_model.") || has_prefix("text_model.") ? WeightNames::hugging_face
                                                                  : WeightNames::open_clip;
}

// The shape of one of a parameter's `parts` stacked tensors.
std::vector<int64_t> part_shape(const Shape& shape, const StoredWeight& stored) {
  std::vector<int64_t> part;
  for (int i = 0; i < shape.rank(); ++i) part.push_back(shape[i]);
  if (stored.order == StoredOrder::transposed) std::swap(part[0], part[1]);
  if (stored.order == StoredOrder::channels_first) std::rotate(part.begin() + 1, part.end() - 1, part.end());
  if (stored.names.size() > 1) part[0] /= static_cast<int64_t>(stored.names.size());
  return part;
}

// The edge of the grid of 1 + edge² position embeddings, or 0.
int64_t grid_edge(int64_t positions) {
  const auto edge = static_cast<int64_t>(std::lround(std::sqrt(static_cast<double>(positions - 1))));
  return positions > 1 && edge * edge == positions - 1 ? edge : 0;
}

bool needs_resampling(const Parameter& parameter, const StoredWeight& stored, const SafetensorsEntry& entry) {
  return entry.shape != part_shape(parameter.shape, stored) &&
         parameter.name == "visual.positional_embedding" && entry.shape.size() == 2 &&
         entry.shape[1] == parameter.shape[1] && grid_edge(entry.shape[0]) > 0;
}

// Filters of one tap have another shape in the file, and the same order.
bool is_reordered(const Parameter& parameter, const StoredWeight& stored) {
  return stored.order == StoredOrder::transposed ||
         (stored.order == StoredOrder::channels_first && parameter.shape[1] > 1);
}

bool fits(const Parameter& parameter, const StoredWeight& stored, const SafetensorsEntry& entry) {
  if (parameter.shape.rank() == 0) return entry.elements() == 1;  // [] or [1]
  return entry.shape == part_shape(parameter.shape, stored) || needs_resampling(parameter, stored, entry);
}

// What batch normalisation has in PyTorch beside what it has here: how many batches the statistics have seen.
bool is_batch_count(std::string_view name, const SafetensorsEntry& entry, const Names& known) {
  constexpr std::string_view kCount = "num_batches_tracked";
  if (!name.ends_with(kCount) || entry.elements() != 1 || (entry.dtype != "I64" && entry.dtype != "F32"))
    return false;
  name.remove_suffix(kCount.size());
  return known.contains(std::string(name) + "running_mean");
}

void check_fit(const ParameterStore& store, const Entries& entries, WeightNames names,
               const std::string& file, const std::string& config) {
  Misfits misfits;
  Names known;
  for (const Parameter& parameter : store.parameters()) {
    const StoredWeight stored = stored_weight(parameter, names);
    for (const std::string& name : stored.names) {
      known.insert(name);
      const auto it = entries.find(name);
      const std::string expected =
          Shape(std::span<const int64_t>(part_shape(parameter.shape, stored))).to_string();
      if (it == entries.end()) {
        misfits.missing.push_back(name + " " + expected);
      } else if (const SafetensorsEntry& entry = it->second->entry; !fits(parameter, stored, entry)) {
        misfits.wrong.push_back(fmt::format("{} (expected {}, found {})", name, expected, entry.describe()));
      }
    }
  }
  for (const auto& [name, entry] : entries) {
    if (known.contains(name) || is_ignored_weight(name) || is_batch_count(name, entry->entry, known))
      continue;
    misfits.unexpected.push_back(name + " " + entry->entry.describe());
  }
  misfits.throw_if_any(file, config);
}

// Without a branch for each value, so that it becomes vector instructions.
bool all_finite(std::span<const float> values) {
  constexpr uint32_t kExponent = 0x7f800000;
  uint32_t found = 0;
  for (const float value : values) found |= (std::bit_cast<uint32_t>(value) & kExponent) == kExponent;
  return found == 0;
}

// The values of a whole tensor, which are finite, into `out`.
void read_values(const ExecContext& ctx, const WeightFiles::Stored& stored, const std::string& name,
                 std::span<float> out) {
  const InputFile opened = stored.open();
  std::atomic<bool> finite = true;
  parallel_for(ctx, ceil_div(std::ssize(out), kPiece), [&](int64_t piece, int) {
    const int64_t first = piece * kPiece, count = std::min(kPiece, std::ssize(out) - first);
    const auto part = out.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    stored.read(opened, name, first, part);
    if (!all_finite(part)) finite = false;
  });
  if (finite) return;
  const auto bad = std::find_if(out.begin(), out.end(), [](float value) { return !std::isfinite(value); });
  fail_input("{}: weight {} of {} is {}; weights must be finite", opened.name(), bad - out.begin(), name,
             *bad);
}

void check_variances(std::span<const float> values, const std::string& name, const std::string& file) {
  const auto negative = std::find_if(values.begin(), values.end(), [](float value) { return value < 0; });
  CUCLIP_CHECK(negative == values.end(), "{}: value {} of {} is {}; a variance is at least 0", file,
               negative - values.begin(), name, *negative);
}

// The logarithm of what similarities are multiplied by.
void check_logit_scale(float value, const std::string& name, const std::string& file) {
  CUCLIP_CHECK(std::isfinite(std::exp(value)), "{}: {} is {}, and e^{} is not finite", file, name, value,
               value);
}

// out [n, columns, rows] = the transposes of in [n, rows, columns].
void transpose(const ExecContext& ctx, const float* in, int64_t n, int64_t rows, int64_t columns,
               float* out) {
  constexpr int64_t kBand = 64;  // rows of a task
  const int64_t bands = ceil_div(rows, kBand);
  parallel_for(ctx, n * bands, [&](int64_t task, int) {
    const int64_t first = task / bands * rows * columns, band = task % bands * kBand;
    for (int64_t r = band; r < std::min(rows, band + kBand); ++r) {
      for (int64_t c = 0; c < columns; ++c) out[first + c * rows + r] = in[first + r * columns + c];
    }
  });
}

// From the order of the parameter to that of the file, or the other way round.
enum class Direction { to_file, from_file };
void reorder(const ExecContext& ctx, const Shape& shape, StoredOrder order, Direction direction,
             const float* in, float* out) {
  const bool whole = order == StoredOrder::transposed;
  const int64_t n = whole ? 1 : shape[0], last = shape[shape.rank() - 1];
  const int64_t rows = shape.elements() / n / last;
  if (direction == Direction::to_file) {
    transpose(ctx, in, n, rows, last, out);
  } else {
    transpose(ctx, in, n, last, rows, out);
  }
}

// Adds to `notes` what was done to the values besides.
void fill(Context& host, const Parameter& parameter, const StoredWeight& stored, const Entries& entries,
          std::vector<std::string>& notes) {
  const bool on_host = parameter.value.device() == Device::cpu;
  const Tensor whole = on_host ? parameter.value : Tensor::empty(host, parameter.shape, DType::f32);
  float* out = whole.data<float>();
  for (const std::string& name : stored.names) {
    const WeightFiles::Stored& tensor = *entries.at(name);
    const bool resampled = needs_resampling(parameter, stored, tensor.entry);
    // What is stored as the parameter is goes where it belongs, without another place on the way.
    const Tensor aside = resampled || is_reordered(parameter, stored)
                             ? Tensor::empty(host, {tensor.entry.elements()}, DType::f32)
                             : Tensor();
    const std::span<float> values(aside ? aside.data<float>() : out,
                                  static_cast<size_t>(tensor.entry.elements()));
    read_values(host.exec(), tensor, name, values);
    const std::string file = tensor.file->path.string();
    if (parameter.name.ends_with("running_var")) check_variances(values, name, file);
    if (parameter.role == ParameterRole::scale) check_logit_scale(values.front(), name, file);
    if (resampled) {
      const int64_t from = grid_edge(tensor.entry.shape[0]), to = grid_edge(parameter.shape[0]);
      resample_positions(values.data(), from, out, to, parameter.shape[1]);
      notes.push_back(
          fmt::format("{}: position embeddings resampled from {} x {} to {} x {}: the weights are of a model "
                      "for pictures of another size than the configuration's",
                      file, from, from, to, to));
    } else if (aside) {
      reorder(host.exec(), parameter.shape, stored.order, Direction::from_file, values.data(), out);
    }
    out += values.size();  // the next part's place
  }
  if (!on_host)
    parameter.value.assign({whole.data<float>(), static_cast<size_t>(parameter.shape.elements())});
}

}  // namespace

std::vector<std::string> load_weights(ClipModel& model, const WeightFiles& files, const std::string& config) {
  CUCLIP_CHECK(!model.has_fixed_weights(),
               "{}: cannot be loaded into a model whose weights have been fixed (fix_weights)", files.name());
  const Entries entries = entries_of(files);
  const WeightNames names = names_in(entries);
  check_fit(model.parameters(), entries, names, files.name(), config);
  model.allocate();
  std::vector<std::string> notes;
  for (const Parameter& parameter : model.parameters().parameters())
    fill(model.context().host(), parameter, stored_weight(parameter, names), entries, notes);
  files.check_unchanged();
  model.parameters().refresh_bf16(model.context());
  return notes;
}

std::vector<std::string> load_weights(ClipModel& model, const std::filesystem::path& path,
                                      const std::string& config) {
  return load_weights(model, WeightFiles(path), config);
}

std::vector<StoredTensor> stored_tensors(const ClipModel& model, WeightNames names) {
  std::vector<StoredTensor> tensors;
  Context& host = model.context().host();
  for (const Parameter& parameter : model.parameters().parameters()) {
    const StoredWeight stored = stored_weight(parameter, names);
    Tensor value = parameter.value.to(host);
    if (stored.order != StoredOrder::same) {
      const std::vector<int64_t> extents = part_shape(parameter.shape, stored);
      const Shape shape{std::span<const int64_t>(extents)};
      if (is_reordered(parameter, stored)) {
        const Tensor reordered = Tensor::empty(host, shape, DType::f32);
        reorder(host.exec(), parameter.shape, stored.order, Direction::to_file, value.data<float>(),
                reordered.data<float>());
        value = reordered;
      }
      value = value.reshaped(shape);
    }
    const auto parts = static_cast<int64_t>(stored.names.size());
    for (int64_t i = 0; i < parts; ++i) {
      tensors.push_back({stored.names[static_cast<size_t>(i)],
                         parts == 1 ? value : value.rows(i * value.size(0) / parts, value.size(0) / parts)});
    }
  }
  return tensors;
}

void save_weights(const ClipModel& model, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata, WeightNames names) {
  const std::vector<StoredTensor> tensors = stored_tensors(model, names);
  std::vector<std::pair<std::string, TensorView>> views;
  for (const auto& [name, value] : tensors) views.emplace_back(name, value.view());
  std::map<std::string, std::string> header = metadata;
  header.emplace("format", "pt");  // transformers asks for it: where tensors of this layout come from
  write_safetensors(path, views, header);
}

}  // namespace cuclip
