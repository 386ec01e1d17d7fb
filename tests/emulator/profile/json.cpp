#include <cxxabi.h>

#include <bit>
#include <cstdlib>

#include "profile/profiler.h"

namespace emu {
namespace {

std::string quoted(std::string_view text) {
  std::string out(1, '"');
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c;
  }
  return out + '"';
}

std::string demangled(std::string_view name) {
  int status = 0;
  char* text = abi::__cxa_demangle(std::string(name).c_str(), nullptr, nullptr, &status);
  if (status != 0) return std::string(name);
  const std::string result = text;
  std::free(text);
  return result;
}

class Object {
 public:
  Object& raw(const std::string& key, const std::string& value) {
    text_.append(text_.empty() ? "" : ", ").append(quoted(key)).append(": ").append(value);
    return *this;
  }
  Object& number(const std::string& key, u64 value) { return raw(key, std::to_string(value)); }
  std::string str() const { return std::string("{").append(text_).append("}"); }

 private:
  std::string text_;
};

std::string triple(const u32* values) {
  std::string text("[");
  for (int i = 0; i < 3; ++i) text.append(i == 0 ? "" : ", ").append(std::to_string(values[i]));
  return text.append("]");
}

u64 set_bits(const std::vector<u64>& bits) {
  u64 count = 0;
  for (const u64 word : bits) count += static_cast<u64>(std::popcount(word));
  return count;
}

std::string traffic_json(const Traffic& traffic, u64 distinct) {
  Object widths;
  for (const auto& [width, count] : traffic.widths) widths.number(std::to_string(width), count);
  return Object()
      .number("requests", traffic.requests)
      .number("accesses", traffic.accesses)
      .number("bytes", traffic.bytes)
      .number("sectors", traffic.sectors)
      .number("distinct_bytes", distinct)
      .raw("widths", widths.str())
      .str();
}

constexpr const char* kClassNames[kInstClasses] = {"integer",    "f32",     "f64",     "half",
                                                   "conversion", "global",  "shared",  "local",
                                                   "tensor",     "control", "special", "move"};

}  // namespace

std::string Profiler::json(const Launch& launch, double seconds) const {
  Counts total;
  for (const auto& each : per_thread_) total.add(*each);
  u64 warps = 0, lanes = 0, loaded = 0, stored = 0;
  Object threads, instructions;
  for (size_t i = 0; i < kInstClasses; ++i) {
    instructions.number(kClassNames[i], total.warps[i]);
    threads.number(kClassNames[i], total.lanes[i]);
    warps += total.warps[i];
    lanes += total.lanes[i];
  }
  Object allocations;
  for (size_t i = 0; i < allocations_.size(); ++i) {
    const auto found = total.by_allocation.find(i);
    if (found == total.by_allocation.end()) continue;
    const u64 in = set_bits(loaded_[i]), out = set_bits(stored_[i]);
    loaded += in;
    stored += out;
    Object entry;
    entry.number("size", allocations_[i].end - allocations_[i].begin);
    entry.raw("loads", traffic_json(found->second.first, in))
        .raw("stores", traffic_json(found->second.second, out));
    allocations.raw(allocations_[i].name, entry.str());
  }
  Object result;
  result.raw("kernel", quoted(demangled(launch.name)))
      .raw("symbol", quoted(launch.name))
      .number("launch", launch.id);
  result.raw("grid", triple(launch.grid)).raw("block", triple(launch.block));
  result.number("static_shared", launch.image->static_shared).number("dynamic_shared", launch.dynamic_shared);
  result.raw("host_seconds", std::to_string(seconds));
  result.number("warp_instructions", warps).number("thread_instructions", lanes);
  result.raw("average_active_lanes",
             std::to_string(warps == 0 ? 0.0 : static_cast<double>(lanes) / static_cast<double>(warps)));
  result.raw("warp_instructions_by_class", instructions.str())
      .raw("thread_instructions_by_class", threads.str());
  result.raw("global_loads", traffic_json(total.loads, loaded))
      .raw("global_stores", traffic_json(total.stores, stored));
  result.raw("allocations", allocations.str());
  result.number("atomics", total.atomics)
      .number("divergent_branches", total.divergent_branches)
      .number("barriers", total.barriers);
  result.number("tensor_flop", total.tensor_flop);
  result.number("shared_accesses", total.shared_accesses).number("shared_passes", total.shared_passes);
  result.number("shared_extra_passes", total.shared_extra_passes);
  return result.str();
}

}  // namespace emu
