#include "engine/decode.h"

#include <algorithm>
#include <cstring>

namespace emu {
namespace {

using ptx::Operand;
using ptx::Space;
using ptx::Type;

const Opcodes& opcodes() {
  static const Opcodes all = [] {
    Opcodes table;
    register_control(table);
    register_integer(table);
    register_bits(table);
    register_float(table);
    register_compare(table);
    register_convert(table);
    register_move(table);
    register_memory(table);
    register_atomic(table);
    register_async(table);
    register_warp(table);
    register_matrix(table);
    register_wmma(table);
    register_stack(table);
    register_video(table);
    register_video_scalar(table);
    register_mbarrier(table);
    return table;
  }();
  return all;
}

u32 align_up(u64 value, u64 align) { return static_cast<u32>((value + align - 1) / align * align); }

void reconverge(Warp& warp, const Inst& inst, u32) {
  if (warp.join != nullptr && warp.join->pc == &inst && warp.join->frame == warp.frame) arrive(warp);
}

}  // namespace

Decoder::Decoder(Image& image, const ptx::Function& function, Code& code)
    : image_(image), function_(function), code_(code), flow_(function), registers_(flow_.place_registers()) {}

void Decoder::refuse(const std::string& why) const {
  throw ptx::Error(inst_->line,
                   std::string(inst_->opcode) + " in " + std::string(function_.name) + ": " + why);
}

void Decoder::layout_frame() {
  code_.register_bytes = registers_.bytes;
  u32 at = 0;
  const auto place_variable = [&](const ptx::Variable& variable) {
    at = align_up(at, std::max(variable.align, 1u));
    frame_offset_[variable.name] = at;
    at += static_cast<u32>(variable.size);
    return frame_offset_[variable.name];
  };
  if (function_.is_entry) {
    for (const ptx::Variable& parameter : function_.parameters) {
      code_.parameter_offset.push_back(place_variable(parameter));
    }
    code_.parameter_bytes = at;
    at = 0;
  } else {
    for (const ptx::Variable& parameter : function_.parameters) {
      code_.parameter_offset.push_back(place_variable(parameter));
    }
    for (const ptx::Variable& result : function_.returns)
      code_.return_offset.push_back(place_variable(result));
  }
  // Scopes that follow each other use a name for different variables (each call's param0): one place for all.
  std::map<std::string_view, ptx::Variable> places;
  for (const ptx::Variable& variable : function_.variables) {
    if (variable.space == Space::shared) continue;  // placed with the image (image.cpp)
    ptx::Variable& place = places.try_emplace(variable.name, variable).first->second;
    place.size = std::max(place.size, variable.size);
    place.align = std::max(place.align, variable.align);
  }
  for (const auto& [name, variable] : places) place_variable(variable);
  code_.frame_bytes = align_up(at, 16);
}

u32 Decoder::frame_room(u32 bytes) {
  const u32 at = code_.frame_bytes;
  code_.frame_bytes = align_up(u64{at} + bytes, 16);
  return at;
}

// .reg parameters come in the frame like others.
void Decoder::take_parameters() {
  static const ptx::Instruction always;
  for (size_t i = 0; i < function_.parameters.size(); ++i) {
    const ptx::Variable& parameter = function_.parameters[i];
    if (parameter.reg < 0) continue;
    emit_frame_move(*this, always, false, register_place(parameter.reg), code_.parameter_offset[i],
                    static_cast<int>(parameter.size));
  }
}

void Decoder::run() {
  code_.source = &function_;
  layout_frame();
  take_parameters();
  start_of_.assign(function_.body.size() + 1, 0);
  for (body_ = 0; body_ < function_.body.size(); ++body_) {
    start_of_[body_] = static_cast<u32>(code_.insts.size());
    inst_ = &function_.body[body_];
    if (flow_.is_meet(body_)) {
      Inst& meet = code_.insts.emplace_back();
      meet.run = reconverge;
      meet.body = body_;
    }
    const auto decode = opcodes().find(inst_->words[0]);
    if (decode == opcodes().end()) refuse("this instruction is not supported");
    decode->second(*this, *inst_);
    if (image_.track_effects) note_effects();
  }
  start_of_[body_] = static_cast<u32>(code_.insts.size());
  if (flow_.is_meet(body_)) code_.insts.emplace_back().run = reconverge;
  static const ptx::Instruction end = [] {
    ptx::Instruction ret;
    ret.words = {"ret"};
    ret.opcode = "ret";
    return ret;
  }();
  inst_ = &end;
  opcodes().at("ret")(*this, end);
  patch();
}

void Decoder::patch() {
  const Inst* first = code_.insts.data();
  for (const Patch& patch : patches_) {
    Inst& inst = code_.insts[patch.inst];
    inst.imm = patch.meet == kNone ? 0 : reinterpret_cast<u64>(first + start_of_[patch.meet]);
    if (patch.table.empty()) {
      inst.link = first + start_of_[patch.target];
      continue;
    }
    auto& table = *image_.tables.emplace_back(std::make_unique<std::vector<const Inst*>>());
    for (u32 target : patch.table) table.push_back(first + start_of_[target]);
    inst.link = &table;
  }
}

Inst& Decoder::emit(const ptx::Instruction& inst, Handler handler) {
  Inst& result = code_.insts.emplace_back();
  result.run = handler;
  result.body = body_;
  if (inst.guard >= 0) {
    result.guard = registers_.offset[static_cast<size_t>(inst.guard)];
    result.guard_flip = inst.guard_negated ? kFullMask : 0;
  }
  return result;
}

void Decoder::branch(Inst& inst, u32 target, u32 meet) {
  patches_.push_back({static_cast<size_t>(&inst - code_.insts.data()), target, meet, {}});
}

void Decoder::branch_table(Inst& inst, const std::vector<u32>& targets, u32 meet) {
  patches_.push_back({static_cast<size_t>(&inst - code_.insts.data()), 0, meet, targets});
}

const u32* Decoder::list(const std::vector<u32>& places) {
  auto& stored = image_.lists.emplace_back(std::make_unique<u32[]>(places.size() + 1));
  std::copy(places.begin(), places.end(), stored.get());
  return stored.get();
}

int Decoder::register_size(const Operand& operand) const {
  if (operand.kind != Operand::Kind::reg) return 0;
  const Type type = function_.registers[static_cast<size_t>(operand.reg)].type;
  if (type == Type::pred) return 0;
  return std::max(2, ptx::size_of(type));
}

u32 Decoder::destination(const Operand& operand, int size) {
  if (operand.kind == Operand::Kind::sink) return place(kRegisters, 0);
  if (operand.kind != Operand::Kind::reg) refuse("the destination is not a register");
  if (!operand.selector.empty() || (operand.negated && size != 0))
    refuse("register " + std::string(operand.name) + " can be neither selected from nor negated here");
  if (register_size(operand) != size) {
    refuse("register " + std::string(operand.name) + " does not have the instruction's " +
           std::to_string(size * 8) + " bits");
  }
  return register_place(operand.reg);
}

u32 Decoder::register_place(int32_t reg) const {
  return place(kRegisters, registers_.offset[static_cast<size_t>(reg)]);
}

u32 Decoder::wide_destination(const Operand& operand, int size, int& real_size) {
  real_size = operand.kind == Operand::Kind::reg ? register_size(operand) : std::max(size, 2);
  if (real_size < size) refuse("register " + std::string(operand.name) + " is too narrow");
  return destination(operand, real_size);
}

u32 Decoder::wide_source(const Operand& operand, int size, int& real_size) {
  real_size = operand.kind == Operand::Kind::reg ? register_size(operand) : std::max(size, 2);
  if (real_size < size) refuse("register " + std::string(operand.name) + " is too narrow");
  return source(operand, real_size);
}

u32 Decoder::source(const Operand& operand, int size) {
  switch (operand.kind) {
    case Operand::Kind::reg:
      return destination(operand, size);
    case Operand::Kind::integer:
      return constant(operand.bits, size);
    case Operand::Kind::f32:
      if (size != 4) refuse("a 32-bit float constant in an instruction of another size");
      return constant(operand.bits, 4);
    case Operand::Kind::f64: {
      if (size == 8) return constant(operand.bits, 8);
      if (size != 4) refuse("a 64-bit float constant in an instruction of another size");
      double wide;
      std::memcpy(&wide, &operand.bits, 8);
      const auto narrow = static_cast<float>(wide);
      u32 bits;
      std::memcpy(&bits, &narrow, 4);
      return constant(bits, 4);
    }
    case Operand::Kind::symbol: {
      if (operand.name[0] == '%') {
        const u32 where = special(operand.name);
        if (size == 4) return where;
        refuse("special register " + std::string(operand.name) + " in an instruction of another size");
      }
      const Symbol where = symbol(operand.name);
      if (where.in_frame) refuse("the address of a frame variable needs a mov");
      return constant(where.address + operand.bits, size);
    }
    default:
      refuse("an operand of this form is not supported");
  }
}

u32 Decoder::constant(u64 bits, int size) {
  if (size == 0) {  // a predicate
    bits = bits != 0 ? kFullMask : 0;
    size = 4;
  }
  const auto width = static_cast<size_t>(std::max(size, 2));
  const size_t at = image_.constants.size();
  const auto [known, is_new] = image_.constant_places.try_emplace({size, bits}, static_cast<u32>(at));
  if (!is_new) return place(kConstants, known->second);
  const u64 wide[2] = {bits, 0};
  for (size_t lane = 0; lane < kLanes; ++lane) {
    const auto* raw = reinterpret_cast<const u8*>(wide);
    image_.constants.insert(image_.constants.end(), raw, raw + width);
  }
  if (image_.constants.size() >= 1u << 28) refuse("too many constants");
  return place(kConstants, static_cast<u32>(at));
}

u32 Decoder::special(std::string_view name) {
  static const std::unordered_map<std::string_view, Special> names{
      {"%tid.x", kTidX},
      {"%tid.y", kTidY},
      {"%tid.z", kTidZ},
      {"%ntid.x", kNtidX},
      {"%ntid.y", kNtidY},
      {"%ntid.z", kNtidZ},
      {"%ctaid.x", kCtaidX},
      {"%ctaid.y", kCtaidY},
      {"%ctaid.z", kCtaidZ},
      {"%nctaid.x", kNctaidX},
      {"%nctaid.y", kNctaidY},
      {"%nctaid.z", kNctaidZ},
      {"%laneid", kLaneId},
      {"%warpid", kWarpId},
      {"%nwarpid", kNwarpId},
      {"%smid", kSmId},
      {"%nsmid", kNsmId},
      {"%gridid", kGridId},
      {"%lanemask_eq", kLaneEq},
      {"%lanemask_le", kLaneLe},
      {"%lanemask_lt", kLaneLt},
      {"%lanemask_ge", kLaneGe},
      {"%lanemask_gt", kLaneGt},
      {"%dynamic_smem_size", kDynamicShared},
      {"%total_smem_size", kTotalShared},
      {"%aggr_smem_size", kTotalShared},
      {"%reserved_smem_offset_begin", kReservedShared},
      {"%reserved_smem_offset_0", kReservedShared},
      {"%reserved_smem_offset_1", kReservedShared},
      {"%cluster_ctaid.x", kZero},
      {"%cluster_ctaid.y", kZero},
      {"%cluster_ctaid.z", kZero},
      {"%cluster_nctaid.x", kOne},
      {"%cluster_nctaid.y", kOne},
      {"%cluster_nctaid.z", kOne},
      {"%cluster_ctarank", kZero},
      {"%cluster_nctarank", kOne},
      {"%clusterid.x", kCtaidX},
      {"%clusterid.y", kCtaidY},
      {"%clusterid.z", kCtaidZ},
      {"%nclusterid.x", kNctaidX},
      {"%nclusterid.y", kNctaidY},
      {"%nclusterid.z", kNctaidZ}};
  const auto found = names.find(name);
  if (found == names.end()) refuse("no register or special register " + std::string(name));
  if (found->second == kReservedShared) image_.reserved_shared = kReservedSharedBytes;
  return place(kSpecials, static_cast<u32>(found->second) * kLanes * 4);
}

Decoder::Symbol Decoder::symbol(std::string_view name) {
  Symbol result;
  if (const auto local = frame_offset_.find(name); local != frame_offset_.end()) {
    const auto is_parameter = [&](const auto& list) {
      return std::any_of(list.begin(), list.end(), [&](const auto& v) { return v.name == name; });
    };
    result.address = local->second;
    result.in_frame = !(function_.is_entry && is_parameter(function_.parameters));
    result.space = Space::param;
    for (const ptx::Variable& variable : function_.variables) {
      if (variable.name == name) result.space = variable.space;
    }
    return result;
  }
  if (const auto shared = image_.shared_offset.find(name); shared != image_.shared_offset.end()) {
    result.space = Space::shared;
    result.address = shared->second;
    return result;
  }
  if (const auto global = image_.linked->address.find(name); global != image_.linked->address.end()) {
    result.space = Space::global;
    result.address = global->second;
    return result;
  }
  if (const ptx::Function* function = image_.module->find_function(name)) {
    result.is_function = true;
    result.address = reinterpret_cast<u64>(function);
    if (function->has_body) code_of(image_, *function);
    return result;
  }
  refuse("no symbol " + std::string(name));
}

Decoder::Address Decoder::address(const Operand& operand) {
  if (operand.kind != Operand::Kind::address) refuse("expected an address");
  Address result;
  result.offset = operand.bits;
  if (operand.reg >= 0) {
    const Type type = function_.registers[static_cast<size_t>(operand.reg)].type;
    result.narrow = ptx::size_of(type) == 4;
    if (ptx::size_of(type) < 4) refuse("an address needs 32 or 64 bits");
    result.base = place(kRegisters, registers_.offset[static_cast<size_t>(operand.reg)]);
    return result;
  }
  if (!operand.name.empty()) {
    const Symbol where = symbol(operand.name);
    result.space = where.space;
    result.in_frame = where.in_frame;
    result.offset += where.address;
  }
  result.base = constant(0, 8);
  return result;
}

}  // namespace emu
