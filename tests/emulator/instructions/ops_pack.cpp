// cvt.pack: two integers saturated into narrow ones side by side: PTX ISA 9.0, section 9.7.9.24.
#include <algorithm>

#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;

// c moves up for a and b. x: the bits of a result; imm: 1 for signed ones.
void pack(Warp& w, const Inst& in, u32 mask) {
  const i32 *a = w.at<i32>(in.a), *b = w.at<i32>(in.b);
  const u32* c = w.at<u32>(in.c);
  u32* d = w.at<u32>(in.d);
  const i64 range = i64{1} << in.x, low = in.imm != 0 ? -range / 2 : 0, high = low + range - 1;
  const auto narrow = [&](i32 value) {
    return static_cast<u32>(std::clamp(i64{value}, low, high)) & static_cast<u32>(range - 1);
  };
  for_lanes(mask, [&](int lane) {
    const u64 above = u64{c[lane]} << (2 * in.x);
    d[lane] = static_cast<u32>(above) | narrow(a[lane]) << in.x | narrow(b[lane]);
  });
}

}  // namespace

// cvt.pack.sat.{s,u}{2,4,8,16}.s32{.b32} d, a, b{, c}
void decode_pack(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const auto& words = inst.words;
  const bool with_c = words.size() == 6 && words[5] == "b32";
  if (words.size() != (with_c ? 6u : 5u) || words[2] != "sat" || words[4] != "s32" ||
      operands.size() != (with_c ? 4u : 3u))
    d.refuse("this form is not supported");
  const std::string_view to = words[3], size = to.substr(1);
  const u32 bits = size == "16" ? 16 : size == "8" ? 8 : size == "4" ? 4 : size == "2" ? 2 : 0;
  if (bits == 0 || (to[0] != 's' && to[0] != 'u') || (bits == 16) == with_c)
    d.refuse("this form is not supported");
  const u32 target = d.destination(operands[0], 4);
  const u32 a = d.source(operands[1], 4), b = d.source(operands[2], 4);
  const u32 c = with_c ? d.source(operands[3], 4) : d.constant(0, 4);
  Inst& out = d.emit(inst, pack);
  out.d = target;
  out.a = a;
  out.b = b;
  out.c = c;
  out.x = bits;
  out.imm = to[0] == 's' ? 1 : 0;
}

}  // namespace emu
