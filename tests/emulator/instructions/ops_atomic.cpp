// atom and red: PTX ISA 9.0, sections 9.7.13.6 and 9.7.13.7. Each lane in turn, with the host's atomics, so
// that they are atomic between the blocks that run on other host threads.
#include <mutex>

#include "instructions/access.h"
#include "instructions/half.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

struct Add {
  template <class T>
  static T run(T old, T b, T) {
    if constexpr (std::is_signed_v<T> && std::is_integral_v<T>) {
      return static_cast<T>(static_cast<std::make_unsigned_t<T>>(old) +
                            static_cast<std::make_unsigned_t<T>>(b));
    } else if constexpr (std::is_floating_point_v<T>) {
      return canonical(old + b);
    } else {
      return static_cast<T>(old + b);
    }
  }
};
struct And {
  template <class T>
  static T run(T old, T b, T) {
    return old & b;
  }
};
struct Or {
  template <class T>
  static T run(T old, T b, T) {
    return old | b;
  }
};
struct Xor {
  template <class T>
  static T run(T old, T b, T) {
    return old ^ b;
  }
};
struct Exchange {
  template <class T>
  static T run(T, T b, T) {
    return b;
  }
};
struct CompareSwap {
  template <class T>
  static T run(T old, T b, T c) {
    return old == b ? c : old;
  }
};
struct Min {
  template <class T>
  static T run(T old, T b, T) {
    return b < old ? b : old;
  }
};
struct Max {
  template <class T>
  static T run(T old, T b, T) {
    return old < b ? b : old;
  }
};
struct Inc {
  template <class T>
  static T run(T old, T b, T) {
    return old >= b ? T{0} : static_cast<T>(old + 1);
  }
};
struct Dec {
  template <class T>
  static T run(T old, T b, T) {
    return old == 0 || old > b ? b : static_cast<T>(old - 1);
  }
};
template <class Format>
struct AddHalf {
  static u16 run(u16 old, u16 b, u16) { return Format::narrow(Format::widen(old) + Format::widen(b)); }
};
template <class Format>
struct AddPair {
  static u32 run(u32 old, u32 b, u32) {
    const u32 low = AddHalf<Format>::run(static_cast<u16>(old), static_cast<u16>(b), 0);
    const u32 high = AddHalf<Format>::run(static_cast<u16>(old >> 16), static_cast<u16>(b >> 16), 0);
    return high << 16 | low;
  }
};
template <bool kMax, class Format>
struct ExtremeHalf {
  static u16 run(u16 old, u16 b, u16) {
    const float x = Format::widen(old), y = Format::widen(b);
    if (x != x) return b;
    if (y != y) return old;
    return (kMax ? x < y : y < x) ? b : old;
  }
};
template <bool kMax, class Format>
struct ExtremePair {
  static u32 run(u32 old, u32 b, u32) {
    using One = ExtremeHalf<kMax, Format>;
    return static_cast<u32>(One::run(static_cast<u16>(old >> 16), static_cast<u16>(b >> 16), 0)) << 16 |
           One::run(static_cast<u16>(old), static_cast<u16>(b), 0);
  }
};

template <class T>
using BitsOf = std::conditional_t<sizeof(T) == 2, u16, std::conditional_t<sizeof(T) == 4, u32, u64>>;

// Shared memory belongs to one host thread.
template <class Op, class T>
T update_alone(u64 address, T b, T c) {
  const T old = read_at<T>(address);
  write_at<T>(address, Op::run(old, b, c));
  return old;
}

// The old value of *address after an atomic update.
template <class Op, class T>
T update(u64 address, T b, T c) {
  if constexpr (sizeof(T) == 16) {  // atomic to each other, and only exch and cas have 128 bits
    static std::mutex mutex;
    const std::lock_guard lock(mutex);
    return update_alone<Op, T>(address, b, c);
  } else {
    using U = BitsOf<T>;
    auto* target = reinterpret_cast<U*>(address);
    U old = __atomic_load_n(target, __ATOMIC_SEQ_CST);
    for (;;) {
      const T next = Op::run(std::bit_cast<T>(old), b, c);
      if (__atomic_compare_exchange_n(target, &old, std::bit_cast<U>(next), false, __ATOMIC_SEQ_CST,
                                      __ATOMIC_SEQ_CST)) {
        return std::bit_cast<T>(old);
      }
    }
  }
}

Access access_of(const Inst& in, u32 mask, const u64* address, u32 bytes) {
  Access access;
  access.kind = Access::Kind::atomic;
  access.space = space_of(in.x);
  access.mask = mask;
  access.address = address;
  access.bytes = bytes;
  if (bytes <= 8) {
    access.count = 1;
    access.places = &in.b;
  }
  access.strong = true;
  access.release = (in.x & kRelease) != 0;
  access.block_scope = (in.x & kBlockScope) != 0;
  return access;
}

template <class Op, class T>
void atomic(Warp& w, const Inst& in, u32 mask) {
  alignas(64) u64 address[kLanes];
  lane_addresses(w, in, in.x, in.a, in.imm, address);
  Watcher* const watcher = w.launch->watcher;
  if (watcher != nullptr) watcher->access(w, in, access_of(in, mask, address, sizeof(T)));
  const T *b = w.at<T>(in.b), *c = w.at<T>(in.c);
  w.fuel -= 16;
  ++w.polls;
  T* d = w.at<T>(in.d);
  for_lanes(mask, [&](int i) {
    if (address[i] % sizeof(T) != 0) fault(716, w, in, i, "misaligned atomic");
    const T bb = b[i], cc = c[i];
    const T old = (in.x & kFormMask) == kShared ? update_alone<Op, T>(address[i], bb, cc)
                                                : update<Op, T>(address[i], bb, cc);
    w.changes += Op::run(old, bb, cc) != old;
    d[i] = old;
  });
  if (watcher != nullptr) watcher->acquire(w, access_of(in, mask, address, sizeof(T)));
}

template <class Op>
Handler bits_of(Decoder& d, Type type) {
  switch (ptx::size_of(type)) {
    case 2:
      return atomic<Op, u16>;
    case 4:
      return atomic<Op, u32>;
    case 8:
      return atomic<Op, u64>;
    default:
      d.refuse("this type is not supported");
  }
}

template <bool kMax>
Handler extreme_of(Decoder& d, Type type) {
  using Op = std::conditional_t<kMax, Max, Min>;
  switch (type) {
    case Type::u32:
      return atomic<Op, u32>;
    case Type::s32:
      return atomic<Op, i32>;
    case Type::u64:
      return atomic<Op, u64>;
    case Type::s64:
      return atomic<Op, i64>;
    case Type::f16:
      return atomic<ExtremeHalf<kMax, F16>, u16>;
    case Type::bf16:
      return atomic<ExtremeHalf<kMax, BF16>, u16>;
    case Type::f16x2:
      return atomic<ExtremePair<kMax, F16>, u32>;
    case Type::bf16x2:
      return atomic<ExtremePair<kMax, BF16>, u32>;
    default:
      d.refuse("this type is not supported");
  }
}

Handler add_of(Decoder& d, Type type) {
  switch (type) {
    case Type::f32:
      return atomic<Add, float>;
    case Type::f64:
      return atomic<Add, double>;
    case Type::f16:
      return atomic<AddHalf<F16>, u16>;
    case Type::bf16:
      return atomic<AddHalf<BF16>, u16>;
    case Type::f16x2:
      return atomic<AddPair<F16>, u32>;
    case Type::bf16x2:
      return atomic<AddPair<BF16>, u32>;
    default:
      return bits_of<Add>(d, type);
  }
}

Handler find_handler(Decoder& d, const Instruction& inst, Type type) {
  if (inst.has("add")) return add_of(d, type);
  if (inst.has("min")) return extreme_of<false>(d, type);
  if (inst.has("max")) return extreme_of<true>(d, type);
  if (inst.has("and")) return bits_of<And>(d, type);
  if (inst.has("or")) return bits_of<Or>(d, type);
  if (inst.has("xor")) return bits_of<Xor>(d, type);
  if (inst.has("exch")) return type == Type::b128 ? atomic<Exchange, u128> : bits_of<Exchange>(d, type);
  if (inst.has("cas")) return type == Type::b128 ? atomic<CompareSwap, u128> : bits_of<CompareSwap>(d, type);
  if (inst.has("inc")) return atomic<Inc, u32>;
  if (inst.has("dec")) return atomic<Dec, u32>;
  d.refuse("this operation is not supported");
}

// red.v2.f32 and the like: one atomic per element.
void decode_vector(Decoder& d, const Instruction& inst, const Operand& where, const Operand& data,
                   const Operand* target) {
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, where, base, offset) | order_form(inst);
  for (size_t k = 0; k < data.parts.size(); ++k) {
    const u32 value = d.source(data.parts[k], size);
    const u32 old = target != nullptr ? d.destination(target->parts.at(k), size) : place(kRegisters, 0);
    Inst& out = d.emit(inst, find_handler(d, inst, type));
    out.d = old;
    out.a = base;
    out.b = value;
    out.c = value;
    out.imm = offset + k * static_cast<size_t>(size);
    out.x = form;
  }
}

void decode_atomic(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const bool returns = inst.words[0] == "atom";
  const Type type = last_type(inst);
  const int size = ptx::size_of(type);
  const size_t first = returns ? 1 : 0;
  if (operands.size() < first + 2) d.refuse("wrong number of operands");
  if (operands[first + 1].kind == Operand::Kind::vector) {
    return decode_vector(d, inst, operands[first], operands[first + 1], returns ? &operands[0] : nullptr);
  }
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, operands[first], base, offset) | order_form(inst);
  const u32 target = returns ? d.destination(operands[0], size) : place(kRegisters, 0);
  const u32 b = d.source(operands[first + 1], size);
  const bool swap = inst.has("cas");
  const u32 c = swap ? d.source(operands.at(first + 2), size) : b;
  Inst& out = d.emit(inst, find_handler(d, inst, type));
  out.d = target;
  out.a = base;
  out.b = b;
  out.c = c;
  out.imm = offset;
  out.x = form;
}

}  // namespace

void register_atomic(Opcodes& opcodes) { opcodes["atom"] = opcodes["red"] = decode_atomic; }

}  // namespace emu
