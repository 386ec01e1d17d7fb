// Tensor instructions: PTX ISA 9.0, section 9.7.14.5.
//
// All dense fragments of mma.sync follow one scheme. A register of 32 lanes holds a block of 8 rows; lane l
// has row l / 4 and the (l % 4)-th quarter of the row. So the 32 lanes' registers, as they lie in the
// register file, ARE the block in row-major order: 8 x 8 for 16 bits, 8 x 4 for 32 (and for 64), 8 x 16
// for 8. Register i of A is row block i % 2 and column block i / 2 (i, when A has 8 rows). B is the same with
// its columns as rows. C and D hold pairs: lane l has row l / 4, columns 2 (l % 4) and the next.
//
// f32 sums are chains of fused multiply-adds in order of k, starting from C.
#include "instructions/access.h"
#include "instructions/fragments.h"
#include "instructions/half.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;
using ptx::Type;

constexpr int kMaxM = 16, kN = 8, kMaxK = 32;

// Rows of a fragment: out[row][k], `k` columns.
template <class In, int kK>
void read_a(Warp& w, const u32* places, int m, typename Element<In>::Value (*out)[kK]) {
  using Bits = typename Element<In>::Bits;
  constexpr int width = sizeof(Bits) == 8 ? 4 : 16 / static_cast<int>(sizeof(Bits));
  const int row_blocks = m / 8;
  for (int c = 0; c < kK / width; ++c) {
    for (int r = 0; r < row_blocks; ++r) {
      typename Element<In>::Value block[8 * width];
      unpack_block<In>(w.at<Bits>(places[c * row_blocks + r]), block, 8 * width);
      for (int row = 0; row < 8; ++row)
        std::memcpy(&out[r * 8 + row][c * width], block + row * width, sizeof(block) / 8);
    }
  }
}

template <class In, int kK>
void read_b(Warp& w, const u32* places, typename Element<In>::Value (*out)[kN]) {
  using Bits = typename Element<In>::Bits;
  constexpr int width = sizeof(Bits) == 8 ? 4 : 16 / static_cast<int>(sizeof(Bits));
  for (int c = 0; c < kK / width; ++c) {
    if constexpr (sizeof(Bits) == 2) {
      alignas(64) u16 turned[64];
      transpose_block(w.at<u16>(places[c]), turned);
      unpack_block<In>(turned, &out[c * width][0], 64);
      continue;
    }
    typename Element<In>::Value block[8 * width];
    unpack_block<In>(w.at<Bits>(places[c]), block, 8 * width);
    for (int k = 0; k < width; ++k) {
      for (int n = 0; n < kN; ++n) out[c * width + k][n] = block[n * width + k];
    }
  }
}

inline float multiply_add(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline double multiply_add(double a, double b, double c) { return __builtin_fma(a, b, c); }
inline i32 multiply_add(i32 a, i32 b, i32 c) {
  return static_cast<i32>(static_cast<u32>(a) * static_cast<u32>(b) + static_cast<u32>(c));
}

template <int kK>
inline void product(int m, const float (*a)[kK], const float (*b)[kN], float (*acc)[kN]) {
  for (int i = 0; i < m; i += 8) {
    __m256 row[8];  // eight sums at a time hide the latency
    for (int r = 0; r < 8; ++r) row[r] = _mm256_load_ps(acc[i + r]);
    for (int k = 0; k < kK; ++k) {
      const __m256 bk = _mm256_load_ps(b[k]);
      for (int r = 0; r < 8; ++r) row[r] = _mm256_fmadd_ps(_mm256_set1_ps(a[i + r][k]), bk, row[r]);
    }
    for (int r = 0; r < 8; ++r) _mm256_store_ps(acc[i + r], row[r]);
  }
}

template <class V, int kK>
inline void product(int m, const V (*a)[kK], const V (*b)[kN], V (*acc)[kN]) {
  for (int i = 0; i < m; ++i) {
    alignas(64) V row[kN];
    std::memcpy(row, acc[i], sizeof row);
    for (int k = 0; k < kK; ++k) {
      for (int n = 0; n < kN; ++n) row[n] = multiply_add(a[i][k], b[k][n], row[n]);
    }
    std::memcpy(acc[i], row, sizeof row);
  }
}

// Accumulators of one 32- or 64-bit value a register: register j is rows 8 (j / 2), odd columns for odd j.
template <class V>
void read_c(Warp& w, const u32* places, int m, V (*acc)[kN]) {
  for (int j = 0; j < m / 4; j += 2) {
    const V *even = w.at<V>(places[j]), *odd = w.at<V>(places[j + 1]);
    V* rows = &acc[4 * j][0];
    for (int lane = 0; lane < kLanes; ++lane) {
      rows[2 * lane] = even[lane];
      rows[2 * lane + 1] = odd[lane];
    }
  }
}
template <class V>
void write_d(Warp& w, const u32* places, int m, const V (*acc)[kN]) {
  for (int j = 0; j < m / 4; j += 2) {
    V *even = w.at<V>(places[j]), *odd = w.at<V>(places[j + 1]);
    const V* rows = &acc[4 * j][0];
    for (int lane = 0; lane < kLanes; ++lane) {
      even[lane] = rows[2 * lane];
      odd[lane] = rows[2 * lane + 1];
    }
  }
}

struct MmaLists {
  const u32 *d, *a, *b, *c;
};
// list: the registers of d, a, b, c one after the other; imm: their counts, a byte each.
MmaLists lists_of(const Inst& in) {
  const u32 nd = in.imm & 0xff, na = in.imm >> 8 & 0xff, nb = in.imm >> 16 & 0xff;
  return {in.list, in.list + nd, in.list + nd + na, in.list + nd + na + nb};
}

bool whole_warp(Warp& w, const Inst& in, u32& mask) {
  if (mask == kFullMask) return true;
  if (!gather(w, mask, kFullMask, true)) return false;
  if (mask != kFullMask)
    fault(715, w, in, std::countr_zero(mask), "a tensor instruction without all 32 lanes");
  return true;
}

// Sums of a few products of bytes are far from overflowing: they saturate once, with C.
inline void product_saturated(int m, auto a, auto b, i32 (*acc)[kN]) {
  alignas(64) i32 sum[kMaxM][kN] = {};
  product(m, a, b, sum);
  for (int i = 0; i < m; ++i) {
    for (int n = 0; n < kN; ++n)
      acc[i][n] = static_cast<i32>(std::clamp<i64>(i64{acc[i][n]} + sum[i][n], INT32_MIN, INT32_MAX));
  }
}

// x: m. a: 1 saturates integers. kHalf: C and D are f16.
template <class A, class B, class Acc, int kK, bool kHalf>
void mma(Warp& w, const Inst& in, u32 mask) {
  if (!whole_warp(w, in, mask)) return;
  using V = typename Element<A>::Value;
  static_assert(std::is_same_v<V, Acc>);
  const int m = static_cast<int>(in.x);
  const MmaLists lists = lists_of(in);
  alignas(64) V a[kMaxM][kK], b[kK][kN], acc[kMaxM][kN];
  read_a<A, kK>(w, lists.a, m, a);
  read_b<B, kK>(w, lists.b, b);
  if constexpr (kHalf) {
    for (int r = 0; r < m / 8; ++r) unpack_block<F16>(w.at<u16>(lists.c[r]), &acc[8 * r][0], 64);
  } else {
    read_c<V>(w, lists.c, m, acc);
  }
  if constexpr (std::is_same_v<V, i32>) {
    in.a == 1 ? product_saturated(m, a, b, acc) : product(m, a, b, acc);
  } else {
    product(m, a, b, acc);
  }
  if constexpr (kHalf) {
    for (int r = 0; r < m / 8; ++r) {
      u16* d = w.at<u16>(lists.d[r]);
      for (int i = 0; i < 64; ++i) d[i] = F16::narrow((&acc[8 * r][0])[i]);
    }
  } else {
    if constexpr (std::is_same_v<V, float>) {
      for (int i = 0; i < m; ++i) {
        for (int n = 0; n < kN; ++n) acc[i][n] = canonical(acc[i][n]);
      }
    }
    write_d<V>(w, lists.d, m, acc);
  }
}

struct Shape {
  int m = 0, n = 0, k = 0;
};
Shape shape_of(Decoder& d, const Instruction& inst) {
  for (std::string_view word : inst.words) {
    Shape shape;
    if (word[0] == 'm' &&
        std::sscanf(std::string(word).c_str(), "m%dn%dk%d", &shape.m, &shape.n, &shape.k) == 3)
      return shape;
  }
  d.refuse("no shape");
}

template <class In>
Handler half_handler(int k, bool half_result) {
  if constexpr (std::is_same_v<In, F16>) {
    if (half_result)
      return k == 16  ? Handler{mma<In, In, float, 16, true>}
             : k == 8 ? Handler{mma<In, In, float, 8, true>}
                      : nullptr;
  }
  return k == 16  ? Handler{mma<In, In, float, 16, false>}
         : k == 8 ? Handler{mma<In, In, float, 8, false>}
                  : nullptr;
}
template <class A, class B>
Handler byte_handler(int k) {
  return k == 32   ? Handler{mma<A, B, i32, 32, false>}
         : k == 16 ? Handler{mma<A, B, i32, 16, false>}
                   : nullptr;
}

Handler mma_handler(const Shape& shape, Type a, Type b, Type result) {
  if (shape.n != 8 || (shape.m != 16 && shape.m != 8)) return nullptr;
  switch (a) {
    case Type::f16:
      return shape.m == 16 ? half_handler<F16>(shape.k, result == Type::f16) : nullptr;
    case Type::bf16:
      return shape.m == 16 ? half_handler<BF16>(shape.k, false) : nullptr;
    case Type::tf32:
      return shape.k == 8 ? Handler{mma<Tf32, Tf32, float, 8, false>}
                          : Handler{mma<Tf32, Tf32, float, 4, false>};
    case Type::f64:
      return shape.k == 4   ? Handler{mma<double, double, double, 4, false>}
             : shape.k == 8 ? Handler{mma<double, double, double, 8, false>}
                            : Handler{mma<double, double, double, 16, false>};
    case Type::s8:
      return b == Type::s8 ? byte_handler<i8, i8>(shape.k) : byte_handler<i8, u8>(shape.k);
    case Type::u8:
      return b == Type::s8 ? byte_handler<u8, i8>(shape.k) : byte_handler<u8, u8>(shape.k);
    default:
      return nullptr;
  }
}

// mma.sync.aligned.shape.row.col{.satfinite}.dtype.atype.btype.ctype
void decode_mma(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (inst.has("sp") || inst.has("block_scale") || operands.size() != 4)
    d.refuse("this form is not supported");
  if (!inst.has("row") || !inst.has("col")) d.refuse("only row.col is supported");
  const Shape shape = shape_of(d, inst);
  const size_t words = inst.words.size();
  const Type result = ptx::type_from(inst.words[words - 4]), a = ptx::type_from(inst.words[words - 3]);
  const Type b = ptx::type_from(inst.words[words - 2]), c = ptx::type_from(inst.words[words - 1]);
  if (c != result) d.refuse("C and D of different types are not supported");
  const bool saturates = inst.has("satfinite");
  if (saturates && result != Type::s32) d.refuse("only integers saturate");
  const Handler handler = mma_handler(shape, a, b, result);
  if (handler == nullptr) d.refuse("this shape and type is not supported");
  const int size = a == Type::f64 ? 8 : 4;
  std::vector<u32> places;
  u64 counts = 0;
  for (size_t i = 0; i < 4; ++i) {
    const std::vector<Operand> single{operands[i]};
    const auto& parts = operands[i].kind == Operand::Kind::vector ? operands[i].parts : single;
    for (const Operand& part : parts)
      places.push_back(i == 0 ? d.destination(part, size) : d.source(part, size));
    counts |= static_cast<u64>(parts.size()) << (8 * i);
  }
  const u32 na = counts >> 8 & 0xff, nb = counts >> 16 & 0xff, nd = counts & 0xff;
  const u32 element = a == Type::tf32 ? 4u : static_cast<u32>(ptx::size_of(a));
  const u32 block = element == 8 ? 4 : 16 / element;  // columns a register
  const auto m = static_cast<u32>(shape.m), k = static_cast<u32>(shape.k);
  const u32 expected_d = result == Type::f16 ? m / 8 : m / 4;
  if (na != m / 8 * (k / block) || nb != k / block || nd != expected_d || (counts >> 24) != nd)
    d.refuse("wrong number of registers");
  const u32* list = d.list(places);
  Inst& out = d.emit(inst, handler);
  out.list = list;
  out.imm = counts;
  out.x = m;
  out.a = saturates ? 1 : 0;
}

void observe(Warp& w, const Inst& in, const u64* address, u32 rows, Access::Kind kind) {
  Access access;
  access.kind = kind;
  access.space = ptx::Space::shared;
  access.mask = rows == 32 ? kFullMask : (1u << rows) - 1;
  access.address = address;
  access.bytes = 16;
  access.strong = false;
  w.launch->watcher->access(w, in, access);
}

// Lanes 8i … 8i + 7 give the addresses of matrix i's rows. x: form | count << 8; imm: offset; d: 1
// transposes.
void row_addresses(Warp& w, const Inst& in, u64* address) {
  lane_addresses(w, in, in.x & 0xff, in.a, in.imm, address);
}

template <bool kStore>
void move_matrix(Warp& w, const Inst& in, u32 mask) {
  if (!whole_warp(w, in, mask)) return;
  alignas(64) u64 address[kLanes];
  row_addresses(w, in, address);
  const u32 count = in.x >> 8;
  if (w.launch->watcher != nullptr)
    observe(w, in, address, count * 8, kStore ? Access::Kind::store : Access::Kind::load);
  for (u32 i = 0; i < count; ++i) {
    u16* fragment = w.at<u16>(in.list[i]);
    alignas(64) u16 matrix[8][8];
    if (!kStore) {
      for (u32 r = 0; r < 8; ++r) {
        if (address[8 * i + r] % 16 != 0)
          fault(716, w, in, static_cast<int>(8 * i + r), "misaligned matrix row");
        std::memcpy(matrix[r], reinterpret_cast<const void*>(address[8 * i + r]), 16);
      }
    }
    u16* const whole = &matrix[0][0];
    const u16* from = kStore ? fragment : whole;
    u16* to = kStore ? whole : fragment;
    in.b == 1 ? transpose_block(from, to) : static_cast<void>(std::memcpy(to, from, 128));
    for (u32 r = 0; kStore && r < 8; ++r) {
      if (address[8 * i + r] % 16 != 0)
        fault(716, w, in, static_cast<int>(8 * i + r), "misaligned matrix row");
      std::memcpy(reinterpret_cast<void*>(address[8 * i + r]), matrix[r], 16);
    }
  }
}

template <bool kStore>
void decode_move_matrix(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  if (!inst.has("m8n8") || !inst.has("b16") || operands.size() != 2) d.refuse("this form is not supported");
  const Operand& data = operands[kStore ? 1 : 0];
  u32 base;
  u64 offset;
  const u32 form = decode_address(d, inst, operands[kStore ? 0 : 1], base, offset);
  const std::vector<Operand> single{data};
  const auto& parts = data.kind == Operand::Kind::vector ? data.parts : single;
  std::vector<u32> places;
  for (const Operand& part : parts) places.push_back(kStore ? d.source(part, 4) : d.destination(part, 4));
  const size_t wanted = inst.has("x4") ? 4 : inst.has("x2") ? 2 : 1;
  if (places.size() != wanted) d.refuse("wrong number of registers");
  const u32* list = d.list(places);
  Inst& out = d.emit(inst, move_matrix<kStore>);
  out.a = base;
  out.imm = offset;
  out.list = list;
  out.b = inst.has("trans") ? 1 : 0;
  out.x = form | static_cast<u32>(places.size()) << 8;
}

// movmatrix.trans: transposes an 8 x 8 fragment between registers.
void transpose(Warp& w, const Inst& in, u32 mask) {
  if (!whole_warp(w, in, mask)) return;
  transpose_block(w.at<u16>(in.a), w.at<u16>(in.d));
}
void decode_movmatrix(Decoder& d, const Instruction& inst) { emit_same(d, inst, transpose, 1, 4); }

}  // namespace

void register_matrix(Opcodes& opcodes) {
  opcodes["mma"] = decode_mma;
  opcodes["ldmatrix"] = decode_move_matrix<false>;
  opcodes["stmatrix"] = decode_move_matrix<true>;
  opcodes["movmatrix"] = decode_movmatrix;
}

}  // namespace emu
