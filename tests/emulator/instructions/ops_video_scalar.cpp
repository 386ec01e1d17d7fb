// Video instructions on words and selected parts of them: PTX ISA 9.0, section 9.7.19.1.
#include "instructions/video.h"

namespace emu {
namespace {

using ptx::Instruction;
using ptx::Operand;

enum class Second : u32 { none, add, min, max };

/// All but the operands' places; Inst::imm holds it.
struct Form {
  u32 operation : 4, second : 2;
  u32 signed_a : 1, signed_b : 1, signed_d : 1, saturate : 1, clamp : 1;
  u32 select_a : 3, select_b : 3, select_d : 3;  // 0: the word; 1 to 4: a byte; 5 and 6: a half
  u32 negate_product : 1, negate_c : 1, plus_one : 1, scale : 4;  // vmad
};
static_assert(sizeof(Form) <= sizeof(u64));
Form form_of(const Inst& in) {
  Form form;
  std::memcpy(&form, &in.imm, sizeof form);
  return form;
}

struct Part {
  u32 shift, bits;
};
constexpr std::array<Part, 7> kParts{{{0, 32}, {0, 8}, {8, 8}, {16, 8}, {24, 8}, {0, 16}, {16, 16}}};

i64 extended(u32 word, u32 select, bool is_signed) {
  return part_of(word, kParts[select].shift, kParts[select].bits, is_signed);
}

i128 clamped(i128 value, bool is_signed, u32 bits) {
  const Range range = range_of(bits, is_signed);
  return std::clamp<i128>(value, range.low, range.high);
}

i128 operated(const Form& form, i64 a, i64 b) {
  const auto shift = [&] { return static_cast<u32>(form.clamp ? std::min<i64>(b, 32) : b & 31); };
  switch (const auto operation = static_cast<Video>(form.operation)) {
    case Video::shl:
      return i128{a} * (i128{1} << shift());
    case Video::shr:
      return a >> shift();
    default:
      return apply(operation, a, b);
  }
}

// a, b and c: the words.
u32 scalar(const Form& form, u32 a, u32 b, u32 c) {
  i128 result =
      operated(form, extended(a, form.select_a, form.signed_a), extended(b, form.select_b, form.signed_b));
  const Part part = kParts[form.select_d];
  if (form.saturate) result = clamped(result, form.signed_d, part.bits);
  const i128 other = extended(c, 0, form.signed_d);
  switch (static_cast<Second>(form.second)) {
    case Second::add:
      result += other;
      break;
    case Second::min:
      result = std::min(result, other);
      break;
    case Second::max:
      result = std::max(result, other);
      break;
    default:
      break;
  }
  if (form.select_d == 0) return static_cast<u32>(result);
  const u32 ones = ((1u << part.bits) - 1) << part.shift;
  return (static_cast<u32>(result) << part.shift & ones) | (c & ~ones);
}

// One is added to the least bit for the sign of a complement, or on demand.
u32 multiplied(const Form& form, u32 a, u32 b, u32 c) {
  const bool is_signed = form.signed_a || form.signed_b || form.negate_product || form.negate_c;
  i128 product = i128{extended(a, form.select_a, form.signed_a)} * extended(b, form.select_b, form.signed_b);
  if (form.negate_product) product = ~product;
  if (form.negate_c) c = ~c;
  product +=
      i128{extended(c, 0, is_signed)} + (form.plus_one || form.negate_product || form.negate_c ? 1 : 0);
  const auto scaled = static_cast<u64>(product >> form.scale);
  if (!form.saturate) return static_cast<u32>(scaled);
  return static_cast<u32>(clamped(is_signed ? i128{static_cast<i64>(scaled)} : i128{scaled}, is_signed, 32));
}

template <auto kOperation>
void video_scalar(Warp& w, const Inst& in, u32 mask) {
  const Form form = form_of(in);
  const u32 *a = w.at<u32>(in.a), *b = w.at<u32>(in.b), *c = w.at<u32>(in.c);
  u32* d = w.at<u32>(in.d);
  for_lanes(mask, [&](int lane) { d[lane] = kOperation(form, a[lane], b[lane], c[lane]); });
}

template <class Names>
int index_of(const Names& names, std::string_view wanted) {
  const auto found = std::find(names.begin(), names.end(), wanted);
  return found == names.end() ? -1 : static_cast<int>(found - names.begin());
}

// The operand without its part, which is noted.
Operand selected(const Operand& operand, u32& select) {
  static constexpr std::array<std::string_view, 7> kNames{"", "b0", "b1", "b2", "b3", "h0", "h1"};
  select = static_cast<u32>(index_of(kNames, operand.selector));
  Operand whole = operand;
  whole.selector = {};
  whole.negated = false;
  return whole;
}

// The words: types, for vset the comparison, then modifiers, each once.
Form decode_form(Decoder& d, const Instruction& inst) {
  const std::string_view name = inst.words[0];
  const bool sets = name == "vset", multiplies = name == "vmad", shifts = name == "vshl" || name == "vshr";
  Form form{};
  if (inst.words.size() < 4) d.refuse("types are missing");
  const size_t first = sets ? 1 : 2;
  if (!sets) form.signed_d = signed_type(d, inst.words[1]);
  form.signed_a = signed_type(d, inst.words[first]);
  form.signed_b = signed_type(d, inst.words[first + 1]);
  if (shifts && form.signed_b) d.refuse("a shift's second operand must be u32");
  const std::optional<Video> operation = sets ? video_comparison(inst.words[3]) : video_operation(name);
  if (!multiplies && !operation.has_value()) d.refuse("this comparison is not supported");
  if (!multiplies) form.operation = static_cast<u32>(*operation);
  bool mode = false;
  for (size_t i = 4; i < inst.words.size(); ++i) {
    const std::string_view word = inst.words[i];
    const bool seconds = !multiplies && form.second == 0;
    if (word == "sat" && !sets && !form.saturate) {
      form.saturate = 1;
    } else if ((word == "clamp" || word == "wrap") && shifts && !mode) {
      mode = true;
      form.clamp = word == "clamp";
    } else if ((word == "add" || word == "min" || word == "max") && seconds) {
      form.second = static_cast<u32>(word == "add" ? Second::add : word == "min" ? Second::min : Second::max);
    } else if (word == "po" && multiplies && !form.plus_one) {
      form.plus_one = 1;
    } else if ((word == "shr7" || word == "shr15") && multiplies && form.scale == 0) {
      form.scale = word == "shr7" ? 7 : 15;
    } else {
      d.refuse("this form is not supported");
    }
  }
  if (shifts && !mode) d.refuse("a shift needs .clamp or .wrap");
  return form;
}

// vop.types{.sat}{.op2} d, a{.part}, b{.part}{, c}; vop.types{.sat} d.part, a{.part}, b{.part}, c
void decode_scalar(Decoder& d, const Instruction& inst) {
  Form form = decode_form(d, inst);
  const bool multiplies = inst.words[0] == "vmad";
  const auto& operands = d.operands();
  if (operands.size() != 3 && operands.size() != 4) d.refuse("wrong number of operands");
  u32 select_d = 0, select_a = 0, select_b = 0, none = 0;
  const u32 target = d.destination(selected(operands[0], select_d), 4);
  const u32 a = d.source(selected(operands[1], select_a), 4),
            b = d.source(selected(operands[2], select_b), 4);
  const bool wants_c = multiplies || select_d != 0 || form.second != 0;
  if ((select_d != 0 && (form.second != 0 || multiplies)) || wants_c != (operands.size() == 4))
    d.refuse("a part of the destination, or a second operation, goes with a fourth operand");
  const u32 c = wants_c ? d.source(selected(operands[3], none), 4) : d.constant(0, 4);
  if (none != 0) d.refuse("the last operand is a word");
  form.select_d = select_d;
  form.select_a = select_a;
  form.select_b = select_b;
  form.negate_product = operands[1].negated != operands[2].negated;
  form.negate_c = wants_c && operands[3].negated;
  if ((form.plus_one || form.negate_product) && form.negate_c)
    d.refuse("this combination of signs is not supported");
  if (form.plus_one && (operands[1].negated || operands[2].negated)) d.refuse(".po goes without signs");
  Inst& out = d.emit(inst, multiplies ? video_scalar<multiplied> : video_scalar<scalar>);
  out.d = target;
  out.a = a;
  out.b = b;
  out.c = c;
  std::memcpy(&out.imm, &form, sizeof form);
}

}  // namespace

void register_video_scalar(Opcodes& opcodes) {
  for (const char* name : {"vadd", "vsub", "vabsdiff", "vmin", "vmax", "vshl", "vshr", "vset", "vmad"})
    opcodes[name] = decode_scalar;
}

}  // namespace emu
