// Memory of a function's own size: alloca, stacksave, stackrestore (PTX ISA 9.0, section 9.7.15). Frames grow
// up in a lane's local memory, this down from its end; a function that returns gives its own back.
#include <algorithm>

#include "engine/lanes.h"
#include "instructions/types.h"

namespace emu {
namespace {

using ptx::Instruction;

void set_top(Warp& w, int lane, u64 top) {
  Frame& frame = *w.frame;
  if ((frame.lowered >> lane & 1) == 0) {
    frame.lowered |= 1u << lane;
    frame.tops[lane] = w.tops[lane];
  }
  w.tops[lane] = top;
}

// imm: the alignment.
template <class T>
void allocate(Warp& w, const Inst& in, u32 mask) {
  const T* size = w.at<T>(in.a);
  T* d = w.at<T>(in.d);
  const u64 below = w.frame->local_base + w.frame->code->frame_bytes;
  for_lanes(mask, [&](int lane) {
    if (size[lane] > w.tops[lane] - below || ((w.tops[lane] - size[lane]) & ~(in.imm - 1)) < below)
      fault(719, w, in, lane, "stack overflow (raise cudaLimitStackSize)");
    set_top(w, lane, (w.tops[lane] - size[lane]) & ~(in.imm - 1));
    d[lane] = static_cast<T>(w.tops[lane]);
  });
}
template <class T>
void save(Warp& w, const Inst& in, u32 mask) {
  T* d = w.at<T>(in.d);
  for_lanes(mask, [&](int lane) { d[lane] = static_cast<T>(w.tops[lane]); });
}
template <class T>
void restore(Warp& w, const Inst& in, u32 mask) {
  const T* a = w.at<T>(in.a);
  for_lanes(mask, [&](int lane) { set_top(w, lane, std::min<u64>(a[lane], w.local_stride)); });
}

void decode_alloca(Decoder& d, const Instruction& inst) {
  const auto& operands = d.operands();
  const int size = ptx::size_of(last_type(inst));
  if (operands.size() < 2 || (size != 4 && size != 8)) d.refuse("this form is not supported");
  const u32 target = d.destination(operands[0], size), source = d.source(operands[1], size);
  const u64 align = operands.size() > 2 ? operands[2].bits : 8;
  if (align == 0 || (align & (align - 1)) != 0) d.refuse("not a power of two");
  d.image().unbounded_stack = true;
  Inst& out = d.emit(inst, size == 4 ? allocate<u32> : allocate<u64>);
  out.d = target;
  out.a = source;
  out.imm = align;
}
void decode_save(Decoder& d, const Instruction& inst) {
  const int size = ptx::size_of(last_type(inst));
  const u32 target = d.destination(d.operands().at(0), size);
  d.emit(inst, size == 4 ? save<u32> : save<u64>).d = target;
}
void decode_restore(Decoder& d, const Instruction& inst) {
  const int size = ptx::size_of(last_type(inst));
  const u32 source = d.source(d.operands().at(0), size);
  d.emit(inst, size == 4 ? restore<u32> : restore<u64>).a = source;
}

}  // namespace

void register_stack(Opcodes& opcodes) {
  opcodes["alloca"] = decode_alloca;
  opcodes["stacksave"] = decode_save;
  opcodes["stackrestore"] = decode_restore;
}

}  // namespace emu
