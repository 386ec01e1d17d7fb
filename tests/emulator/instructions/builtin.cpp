#include "instructions/builtin.h"

#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "engine/lanes.h"
#include "engine/launch.h"

namespace emu {
namespace {

template <class T>
T argument(Warp& w, const Inst& in, u32 which, int lane) {
  T value;
  const u32 results = in.list[0];
  const u32 offset = w.frame->local_base + in.list[2 + results + which];
  std::memcpy(&value, w.local + static_cast<u64>(lane) * w.local_stride + offset, sizeof value);
  return value;
}

template <class T>
void give(Warp& w, const Inst& in, int lane, T value) {
  if (in.list[0] == 0) return;
  std::memcpy(w.local + static_cast<u64>(lane) * w.local_stride + w.frame->local_base + in.list[2], &value,
              sizeof value);
}

// One conversion of a format, with its argument from the packed buffer (each aligned to its size).
class Formatter {
 public:
  Formatter(const char* format, const u8* arguments) : at_(format), arguments_(arguments) {}

  std::string run() {
    while (*at_ != '\0') {
      if (*at_ != '%') {
        out_ += *at_++;
      } else if (at_[1] == '%') {
        out_ += '%';
        at_ += 2;
      } else {
        conversion();
      }
    }
    return out_;
  }

 private:
  template <class T>
  T take() {
    offset_ = (offset_ + sizeof(T) - 1) / sizeof(T) * sizeof(T);
    T value;
    std::memcpy(&value, arguments_ + offset_, sizeof value);
    offset_ += sizeof(T);
    return value;
  }

  template <class... T>
  void print(const std::string& spec, T... value) {
    char text[512];
    std::snprintf(text, sizeof text, spec.c_str(), value...);
    out_ += text;
  }

  void conversion() {
    std::string spec(1, *at_++);
    int longs = 0;
    int stars[2] = {}, star_count = 0;
    for (; *at_ != '\0'; ++at_) {
      const char c = *at_;
      if (c == 'l' || c == 'j' || c == 'z' || c == 't') ++longs;
      if (c == '*' && star_count < 2) {
        stars[star_count] = take<int>();
        spec += std::to_string(stars[star_count++]);
        continue;
      }
      if (std::string_view("lhjzt").find(c) != std::string_view::npos) continue;
      if (std::isalpha(static_cast<unsigned char>(c))) break;
      spec += c;
    }
    if (*at_ == '\0') return;
    const char kind = *at_++;
    switch (kind) {
      case 'd':
      case 'i':
        longs != 0 ? print(spec + "ll" + kind, static_cast<long long>(take<i64>()))
                   : print(spec + kind, take<int>());
        break;
      case 'u':
      case 'x':
      case 'X':
      case 'o':
        longs != 0 ? print(spec + "ll" + kind, static_cast<unsigned long long>(take<u64>()))
                   : print(spec + kind, take<unsigned>());
        break;
      case 'c':
        print(spec + kind, take<int>());
        break;
      case 'p':
        print(spec + kind, take<void*>());
        break;
      case 's': {
        const char* text = take<const char*>();
        if (spec == "%") {
          out_ += text;
        } else {
          print(spec + kind, text);
        }
        break;
      }
      default:
        print(spec + kind, take<double>());
    }
  }

  const char* at_;
  const u8* arguments_;
  size_t offset_ = 0;
  std::string out_;
};

void print(Warp& w, const Inst& in, u32 mask) {
  static std::mutex mutex;
  for_lanes(mask, [&](int lane) {
    const auto* format = argument<const char*>(w, in, 0, lane);
    const auto* arguments = argument<const u8*>(w, in, 1, lane);
    const std::string text = Formatter(format, arguments).run();
    const std::lock_guard lock(mutex);
    w.launch->print(text);
    give<i32>(w, in, lane, static_cast<i32>(text.size()));
  });
}

void assert_fail(Warp& w, const Inst& in, u32 mask) {
  const int lane = std::countr_zero(mask);
  const auto* message = argument<const char*>(w, in, 0, lane);
  const auto* file = argument<const char*>(w, in, 1, lane);
  const auto line = argument<u32>(w, in, 2, lane);
  const auto* function = argument<const char*>(w, in, 3, lane);
  fault(710, w, in, lane,
        std::string(file) + ":" + std::to_string(line) + ": " + function + ": assertion `" + message +
            "` failed");
}

void device_malloc(Warp& w, const Inst& in, u32 mask) {
  for_lanes(mask,
            [&](int lane) { give<u64>(w, in, lane, w.launch->allocate(argument<u64>(w, in, 0, lane))); });
}
void device_free(Warp& w, const Inst& in, u32 mask) {
  for_lanes(mask, [&](int lane) {
    const auto address = argument<u64>(w, in, 0, lane);
    if (address != 0 && !w.launch->release(address))
      fault(719, w, in, lane, "free of an address that device malloc did not give, or gave back");
  });
}

}  // namespace

Builtin find_builtin(std::string_view name) {
  if (name == "vprintf") return print;
  if (name == "__assertfail") return assert_fail;
  if (name == "malloc") return device_malloc;
  if (name == "free") return device_free;
  return nullptr;
}

}  // namespace emu
