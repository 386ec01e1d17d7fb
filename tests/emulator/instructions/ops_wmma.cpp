// wmma: PTX ISA 9.0, section 9.7.14.4, the older interface to the tensor cores, on whole matrices.
//
// PTX leaves the fragments' layout open. Here they are those of mma.sync (ops_matrix.cpp), one m16n8 tile
// after the other, as on GPUs since sm_75: programs that look inside a fragment find what they find there. A
// and B of f16 have more registers than they need; those repeat.
#include <algorithm>

#include "instructions/access.h"
#include "instructions/fragments.h"
#include "instructions/half.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

constexpr int kMost = 32;  // the longest side of a matrix

enum class Role : u8 { a, b, sum };

struct Shape {
  int m = 0, n = 0, k = 0;
};

// What a fragment holds: rows x columns elements (B by its columns, as rows), `per` of them in a register.
struct Fragment {
  Role role;
  Type type;
  int rows, columns, element, per, registers;
  int distinct() const { return rows * columns / (kLanes * per); }
};

struct Place {
  int row, column;
};

// Where an element of a fragment lies in its matrix. `index` is the register among the distinct ones.
Place place_of(const Fragment& f, int index, int lane, int part) {
  if (f.role == Role::sum) {
    if (f.per == 2) index = 2 * index + part;  // f16: both columns in one register
    const int per_tile = f.rows >= 16 ? 4 : 2, tile = index / per_tile, within = index % per_tile;
    const int across = f.columns / 8;
    return {tile / across * 16 + within / 2 * 8 + lane / 4, tile % across * 8 + lane % 4 * 2 + within % 2};
  }
  const int width = 4 * f.per, blocks = f.columns / width;
  const int column = lane % 4 * f.per + part;
  if (f.role == Role::b || f.rows == 8)
    return {index / blocks * 8 + lane / 4, index % blocks * width + column};
  const int per_tile = 2 * blocks, within = index % per_tile;
  return {index / per_tile * 16 + within % 2 * 8 + lane / 4, within / 2 * width + column};
}

Fragment fragment_of(Decoder& d, Role role, Type type, const Shape& shape) {
  Fragment f{};
  f.role = role;
  f.type = type;
  f.rows = role == Role::b ? shape.n : shape.m;
  f.columns = role == Role::sum ? shape.n : shape.k;
  f.element = ptx::size_of(type);
  f.per = f.element >= 4 ? 1 : 4 / f.element;
  f.registers = role != Role::sum && type == Type::f16 ? 8 : f.distinct();
  const bool is_volume = shape.m * shape.n == 256 || type == Type::f64;
  if (!is_volume || f.distinct() == 0) d.refuse("this shape and type is not supported");
  return f;
}

Shape shape_of(Decoder& d, const Instruction& inst) {
  for (std::string_view word : inst.words) {
    Shape s;
    if (std::sscanf(std::string(word).c_str(), "m%dn%dk%d", &s.m, &s.n, &s.k) != 3) continue;
    const bool k_known = s.k == 16 || s.k == 8 || (s.k == 4 && s.m == 8 && s.n == 8);
    const bool known = k_known && s.m <= kMost && s.n <= kMost && s.m >= 8 && s.n >= 8;
    if (!known) d.refuse("this shape is not supported");
    return s;
  }
  d.refuse("no shape");
}

// A fragment's registers, with what a handler needs to know; lives as long as the image.
struct Stored {
  Fragment fragment;
  u32 places[8];
};
constexpr size_t kWords = (sizeof(Stored) + 3) / 4;

Stored stored(Decoder& d, const Fragment& fragment, const Operand& operand, bool defines) {
  Stored result{};
  result.fragment = fragment;
  const std::vector<Operand> single{operand};
  const auto& parts = operand.kind == Operand::Kind::vector ? operand.parts : single;
  if (parts.size() != static_cast<size_t>(fragment.registers)) d.refuse("wrong number of registers");
  const int size = fragment.type == Type::f64 ? 8 : 4;
  for (size_t i = 0; i < parts.size(); ++i)
    result.places[i] = defines ? d.destination(parts[i], size) : d.source(parts[i], size);
  return result;
}

const u32* keep_stored(Decoder& d, std::initializer_list<Stored> fragments) {
  std::vector<u32> words(kWords * fragments.size());
  size_t at = 0;
  for (const Stored& each : fragments) std::memcpy(words.data() + kWords * at++, &each, sizeof each);
  return d.list(words);
}

Stored stored_at(const Inst& in, u32 which) {
  Stored result;
  std::memcpy(&result, in.list + kWords * which, sizeof result);
  return result;
}

bool whole_warp(Warp& w, const Inst& in, u32& mask) {
  if (mask == kFullMask) return true;
  if (!gather(w, mask, kFullMask, true)) return false;
  if (mask != kFullMask)
    fault(715, w, in, std::countr_zero(mask), "a tensor instruction without all 32 lanes");
  return true;
}

u8* element_at(Warp& w, const Stored& s, int index, int lane, int part) {
  const int size = s.fragment.type == Type::f64 ? 8 : 4;
  return w.at<u8>(s.places[index]) + lane * size + part * s.fragment.element;
}

// --- load and store ---

// x: form, then bit 8: the matrix lies by columns; b: the leading dimension.
template <bool kStore>
void move(Warp& w, const Inst& in, u32 mask) {
  if (!whole_warp(w, in, mask)) return;
  const Stored s = stored_at(in, 0);
  const Fragment& f = s.fragment;
  alignas(64) u64 base[kLanes], address[kLanes];
  lane_addresses(w, in, in.x & 0xff, in.a, in.imm, base);
  const u64 stride = w.at<u32>(in.b)[0], size = static_cast<u64>(f.element);
  const bool by_columns = (in.x >> 8 & 1) != (f.role == Role::b ? 1u : 0u);
  for (int index = 0; index < f.registers; ++index) {
    if (kStore && index >= f.distinct()) return;
    for (int part = 0; part < f.per; ++part) {
      for (int lane = 0; lane < kLanes; ++lane) {
        const Place p = place_of(f, index % f.distinct(), lane, part);
        const auto row = static_cast<u64>(p.row), column = static_cast<u64>(p.column);
        address[lane] = base[lane] + size * (by_columns ? column * stride + row : row * stride + column);
      }
      if (w.launch->watcher != nullptr) {
        Access access;
        access.kind = kStore ? Access::Kind::store : Access::Kind::load;
        access.space = space_of(in.x & 0xff);
        access.mask = kFullMask;
        access.address = address;
        access.bytes = static_cast<u32>(size);
        access.count = 1;
        access.places = part == 0 ? &in.list[kWords] + index : nullptr;
        w.launch->watcher->access(w, in, access);
      }
      for (int lane = 0; lane < kLanes; ++lane) {
        auto* memory = reinterpret_cast<u8*>(address[lane]);
        u8* element = element_at(w, s, index, lane, part);
        std::memcpy(kStore ? memory : element, kStore ? element : memory, size);
      }
    }
  }
}

// wmma.load.{a,b,c}.sync.aligned.layout.shape{.space}.type r, [p]{, stride}
// wmma.store.d.sync.aligned.layout.shape{.space}.type [p], r{, stride}
template <bool kStore>
void decode_move(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const std::string_view which = inst.words[2];
  const Role role = which == "a" ? Role::a : which == "b" ? Role::b : Role::sum;
  if (operands.size() < 2) d.refuse("wrong number of operands");
  const Shape shape = shape_of(d, inst);
  const Type type = last_type(inst);
  const Fragment fragment = fragment_of(d, role, type, shape);
  const Stored data = stored(d, fragment, operands[kStore ? 1 : 0], !kStore);
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, operands[kStore ? 0 : 1], base, offset);
  const bool by_columns = inst.has("col");
  const bool turned = by_columns != (role == Role::b);
  const u32 natural = static_cast<u32>(turned ? fragment.rows : fragment.columns);
  const u32 stride = operands.size() > 2 ? d.source(operands[2], 4) : d.constant(natural, 4);
  // Behind the fragment, the places alone, for the watchers.
  std::vector<u32> words(kWords);
  std::memcpy(words.data(), &data, sizeof data);
  words.insert(words.end(), data.places, data.places + 8);
  const u32* list = d.list(words);
  Inst& out = d.emit(inst, move<kStore>);
  out.a = base;
  out.b = stride;
  out.imm = offset;
  out.list = list;
  out.x = form | (by_columns ? u32{1} << 8 : 0);
}

// --- the product ---

template <class V>
V read_element(Type type, const u8* at) {
  switch (type) {
    case Type::f16:
      return static_cast<V>(Element<F16>::get(read_at<u16>(reinterpret_cast<u64>(at))));
    case Type::bf16:
      return static_cast<V>(Element<BF16>::get(read_at<u16>(reinterpret_cast<u64>(at))));
    case Type::tf32:
      return static_cast<V>(Element<Tf32>::get(read_at<u32>(reinterpret_cast<u64>(at))));
    case Type::s8:
      return static_cast<V>(read_at<i8>(reinterpret_cast<u64>(at)));
    case Type::u8:
      return static_cast<V>(*at);
    default:
      return read_at<V>(reinterpret_cast<u64>(at));
  }
}

template <class V>
void write_element(Type type, u8* at, V value) {
  if (type == Type::f16) {
    write_at<u16>(reinterpret_cast<u64>(at), F16::narrow(static_cast<double>(value)));
  } else if constexpr (std::is_same_v<V, i32>) {
    write_at<i32>(reinterpret_cast<u64>(at), value);
  } else {
    write_at<V>(reinterpret_cast<u64>(at), canonical(value));
  }
}

template <class V>
void read_matrix(Warp& w, const Stored& s, V (*out)[kMost]) {
  const Fragment& f = s.fragment;
  for (int index = 0; index < f.distinct(); ++index) {
    for (int lane = 0; lane < kLanes; ++lane) {
      for (int part = 0; part < f.per; ++part) {
        const Place p = place_of(f, index, lane, part);
        // B is kept by its columns, the product needs its rows.
        V& to = f.role == Role::b ? out[p.column][p.row] : out[p.row][p.column];
        to = read_element<V>(f.type, element_at(w, s, index, lane, part));
      }
    }
  }
}

inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline i32 multiply_add(i32 a, i32 b, i32 c) {
  return static_cast<i32>(static_cast<u32>(a) * static_cast<u32>(b) + static_cast<u32>(c));
}

// list: d, a, b, c. Integers saturate once, after an exact sum (x: 1).
template <class V>
void multiply(Warp& w, const Inst& in, u32 mask) {
  if (!whole_warp(w, in, mask)) return;
  const Stored d = stored_at(in, 0), a = stored_at(in, 1), b = stored_at(in, 2), c = stored_at(in, 3);
  const int m = a.fragment.rows, n = b.fragment.rows, k = a.fragment.columns;
  alignas(64) V ma[kMost][kMost], mb[kMost][kMost], sum[kMost][kMost];
  read_matrix(w, a, ma);
  read_matrix(w, b, mb);
  read_matrix(w, c, sum);
  for (int i = 0; i < m; ++i) {
    V start[kMost];
    std::memcpy(start, sum[i], sizeof start);
    for (int j = 0; std::is_same_v<V, i32> && in.x == 1 && j < n; ++j) sum[i][j] = 0;
    for (int j = 0; j < k; ++j) {
      for (int col = 0; col < n; ++col) sum[i][col] = multiply_add(ma[i][j], mb[j][col], sum[i][col]);
    }
    if constexpr (std::is_same_v<V, i32>) {  // 16 products of bytes are far from overflowing
      for (int col = 0; in.x == 1 && col < n; ++col) {
        sum[i][col] = static_cast<i32>(
            std::clamp<i64>(i64{sum[i][col]} + start[col], std::numeric_limits<i32>::min(), INT32_MAX));
      }
    }
  }
  const Fragment& f = d.fragment;
  for (int index = 0; index < f.registers; ++index) {
    for (int lane = 0; lane < kLanes; ++lane) {
      for (int part = 0; part < f.per; ++part) {
        const Place p = place_of(f, index, lane, part);
        write_element<V>(f.type, element_at(w, d, index, lane, part), sum[p.row][p.column]);
      }
    }
  }
}

// wmma.mma.sync.aligned.alayout.blayout.shape{.rnd}.dtype{.atype.btype}.ctype{.satfinite} d, a, b, c
void decode_multiply(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (operands.size() != 4) d.refuse("wrong number of operands");
  if (inst.has("xor") || inst.has("and") || inst.has("rz") || inst.has("rm") || inst.has("rp"))
    d.refuse("this form is not supported");
  std::vector<Type> types;
  for (std::string_view word : inst.words) {
    if (const Type type = ptx::type_from(word); type != Type::none) types.push_back(type);
  }
  if (types.size() == 2) types = {types[0], Type::f16, Type::f16, types[1]};
  if (types.size() != 4) d.refuse("the types are not understood");
  const Shape shape = shape_of(d, inst);
  const bool floats = types[1] == Type::f16 || types[1] == Type::bf16 || types[1] == Type::tf32;
  const bool bytes = types[1] == Type::s8 || types[1] == Type::u8;
  if (types[1] != types[2] || (!floats && !bytes && types[1] != Type::f64))
    d.refuse("these types are not supported");
  if ((types[1] == Type::tf32) != (shape.k == 8) || (types[1] == Type::f64) != (shape.k == 4))
    d.refuse("this shape and type is not supported");
  const u32* list =
      keep_stored(d, {stored(d, fragment_of(d, Role::sum, types[0], shape), operands[0], true),
                      stored(d, fragment_of(d, Role::a, types[1], shape), operands[1], false),
                      stored(d, fragment_of(d, Role::b, types[2], shape), operands[2], false),
                      stored(d, fragment_of(d, Role::sum, types[3], shape), operands[3], false)});
  Inst& out = d.emit(inst, floats ? multiply<float> : bytes ? multiply<i32> : multiply<double>);
  out.list = list;
  out.x = inst.has("satfinite") && bytes ? 1 : 0;
}

void decode_wmma(Decoder& d, const Instruction& inst) {
  if (inst.words.size() < 6) d.refuse("this form is not supported");
  if (inst.words[1] == "load") return decode_move<false>(d, inst);
  if (inst.words[1] == "store") return decode_move<true>(d, inst);
  if (inst.words[1] == "mma") return decode_multiply(d, inst);
  d.refuse("this form is not supported");
}

}  // namespace

void register_wmma(Opcodes& opcodes) { opcodes["wmma"] = decode_wmma; }

}  // namespace emu
