// Video instructions on the bytes and halves of words: PTX ISA 9.0, section 9.7.19.2. All lanes of both
// operands, in their order: neither selected nor masked.
#include "instructions/video.h"

namespace emu {
namespace {

using ptx::Instruction;

enum Flag : u32 { kSignedA = 1, kSignedB = 2, kSignedD = 4, kSat = 8, kSum = 16 };

// x: the operation; imm: flags, and from bit 8 the bits of a part. c is added to the sum of the parts'
// results.
void video(Warp& w, const Inst& in, u32 mask) {
  const u32 *a = w.at<u32>(in.a), *b = w.at<u32>(in.b), *c = w.at<u32>(in.c);
  u32* d = w.at<u32>(in.d);
  const u32 bits = static_cast<u32>(in.imm >> 8), ones = (1u << bits) - 1;
  const Range range = range_of(bits, (in.imm & kSignedD) != 0);
  for_lanes(mask, [&](int lane) {
    u32 packed = 0, sum = c[lane];
    for (u32 shift = 0; shift < 32; shift += bits) {
      i64 result = apply(static_cast<Video>(in.x), part_of(a[lane], shift, bits, (in.imm & kSignedA) != 0),
                         part_of(b[lane], shift, bits, (in.imm & kSignedB) != 0));
      if (in.imm & kSat) result = std::clamp(result, range.low, range.high);
      packed |= (static_cast<u32>(result) & ones) << shift;
      sum += static_cast<u32>(result);
    }
    d[lane] = in.imm & kSum ? sum : packed;
  });
}

// vop{2,4}.dtype.atype.btype{.sat}{.add} d, a, b, c; vset{2,4}.atype.btype.cmp{.add} d, a, b, c
void decode_video(Decoder& d, const Instruction& inst) {
  std::string_view name = inst.words[0];
  const u32 bits = name.back() == '4' ? 8 : 16;
  name.remove_suffix(1);
  const bool sets = name == "vset";
  std::vector<std::string_view> words(inst.words.begin() + 1, inst.words.end());
  u64 flags = bits << 8;
  if (!words.empty() && words.back() == "add") flags |= kSum, words.pop_back();
  if (!sets && !words.empty() && words.back() == "sat") flags |= kSat, words.pop_back();
  if (words.size() != 3) d.refuse("this form is not supported");
  const std::optional<Video> operation = sets ? video_comparison(words[2]) : video_operation(name);
  if (!operation.has_value()) d.refuse("this form is not supported");
  if (sets) words = {"u32", words[0], words[1]};
  static constexpr u32 kSigned[3] = {kSignedD, kSignedA, kSignedB};
  for (size_t i = 0; i < 3; ++i) {
    if (signed_type(d, words[i])) flags |= kSigned[i];
  }
  if (operation == Video::average && (flags & (kSignedA | kSignedB)) != 0)
    d.refuse("only unsigned averages are supported");
  const auto& operands = d.operands();
  if (operands.size() != 4) d.refuse("wrong number of operands");
  const u32 target = d.destination(operands[0], 4);
  const u32 a = d.source(operands[1], 4), b = d.source(operands[2], 4), c = d.source(operands[3], 4);
  Inst& out = d.emit(inst, video);
  out.d = target;
  out.a = a;
  out.b = b;
  out.c = c;
  out.x = static_cast<u32>(*operation);
  out.imm = flags;
}

}  // namespace

void register_video(Opcodes& opcodes) {
  for (const char* name : {"vadd2", "vadd4", "vsub2", "vsub4", "vavrg2", "vavrg4", "vabsdiff2", "vabsdiff4",
                           "vmin2", "vmin4", "vmax2", "vmax4", "vset2", "vset4"})
    opcodes[name] = decode_video;
}

}  // namespace emu
