// Turns a function's PTX into Insts. Each instruction family registers the names that it decodes.
#pragma once

#include <string_view>
#include <unordered_map>

#include "engine/flow.h"
#include "engine/launch.h"

namespace emu {

class Decoder;
using Decode = void (*)(Decoder&, const ptx::Instruction&);

class Decoder {
 public:
  Decoder(Image& image, const ptx::Function& function, Code& code);
  void run();

  /// Appends an instruction with the source's guard. The reference holds until the next emit.
  Inst& emit(const ptx::Instruction& inst, Handler handler);

  /// Places of operands; `size` is the type's bytes, 0 for predicates. Sizes must agree with the register's.
  u32 destination(const ptx::Operand& operand, int size);
  u32 source(const ptx::Operand& operand, int size);
  /// A register of any width of at least `size` bytes; its real size comes back.
  u32 wide_source(const ptx::Operand& operand, int size, int& real_size);
  u32 wide_destination(const ptx::Operand& operand, int size, int& real_size);
  u32 constant(u64 bits, int size);
  /// Copies operand places to storage that lives as long as the image.
  const u32* list(const std::vector<u32>& places);
  int register_size(const ptx::Operand& operand) const;
  u32 register_place(int32_t reg) const;
  /// Room in the frame for what a call passes in registers; its offset.
  u32 frame_room(u32 bytes);

  /// Where a name lives. For frame variables the address is an offset in the frame.
  struct Symbol {
    ptx::Space space = ptx::Space::generic;
    u64 address = 0;
    bool in_frame = false;
    bool is_function = false;
  };
  Symbol symbol(std::string_view name);

  /// A decoded [address].
  struct Address {
    u32 base = kNone;
    u64 offset = 0;
    bool narrow = false;                     // the base register has 32 bits
    bool in_frame = false;                   // relative to the frame's variables
    ptx::Space space = ptx::Space::generic;  // of the symbol, when there is one
  };
  Address address(const ptx::Operand& operand);

  void branch(Inst& inst, u32 target, u32 meet);
  void branch_table(Inst& inst, const std::vector<u32>& targets, u32 meet);
  [[noreturn]] void refuse(const std::string& why) const;
  const ptx::Function& function() const { return function_; }
  const Flow& flow() const { return flow_; }
  Image& image() { return image_; }
  Code& code() { return code_; }
  u32 body_index() const { return body_; }
  const std::vector<ptx::Operand>& operands() const { return inst_->operands; }

 private:
  struct Patch {
    size_t inst;
    u32 target, meet;
    std::vector<u32> table;
  };
  void layout_frame();
  void take_parameters();
  void note_effects();
  void note_deciders(Code::Effects& effects) const;
  void patch();
  u32 special(std::string_view name);

  Image& image_;
  const ptx::Function& function_;
  Code& code_;
  Flow flow_;
  Flow::Registers registers_;
  std::unordered_map<std::string_view, u32> frame_offset_;
  std::vector<Patch> patches_;
  std::vector<u32> start_of_;  // body index -> index into code_.insts
  u32 body_ = 0;
  const ptx::Instruction* inst_ = nullptr;
};

/// The families (one file each); they fill the table of decoders.
using Opcodes = std::unordered_map<std::string_view, Decode>;
void register_control(Opcodes& opcodes);
void register_stack(Opcodes& opcodes);
void register_integer(Opcodes& opcodes);
void register_bits(Opcodes& opcodes);
void register_video(Opcodes& opcodes);
void register_video_scalar(Opcodes& opcodes);
void register_float(Opcodes& opcodes);
void register_compare(Opcodes& opcodes);
void register_convert(Opcodes& opcodes);
void register_move(Opcodes& opcodes);
void register_memory(Opcodes& opcodes);
void register_atomic(Opcodes& opcodes);
void register_async(Opcodes& opcodes);
void register_warp(Opcodes& opcodes);
void register_matrix(Opcodes& opcodes);
void register_wmma(Opcodes& opcodes);
void register_mbarrier(Opcodes& opcodes);

/// Emits the move of a register into the frame's variables, or from there (ops_control.cpp).
void emit_frame_move(Decoder& d, const ptx::Instruction& inst, bool to_frame, u32 reg, u32 offset, int size);

/// Decodes an entry and all that it calls. Throws ptx::Error naming instruction and line.
std::unique_ptr<Image> build_image(const ptx::Module& module, LinkedModule& linked,
                                   const ptx::Function& entry, bool track_effects);
/// The code of a function of this image, decoded on first use.
Code& code_of(Image& image, const ptx::Function& function);

}  // namespace emu
