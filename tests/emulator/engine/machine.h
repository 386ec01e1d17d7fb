// The machine's state: instructions in their decoded form, warps, blocks, launches.
//
// A warp executes a split: a set of lanes at one program counter. Divergence cuts a split in two that meet
// again at a Join (the branch's immediate post-dominator, or the return of a call). All splits of a warp are
// runnable, so lanes that wait for each other always make progress (see splits.cpp).
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "engine/guarded_memory.h"
#include "ptx/ast.h"

namespace emu {

using u8 = uint8_t;
using u16 = uint16_t;
using u32 = uint32_t;
using u64 = uint64_t;
using i8 = int8_t;
using i16 = int16_t;
using i32 = int32_t;
using i64 = int64_t;
__extension__ using i128 = __int128;
__extension__ using u128 = unsigned __int128;

constexpr int kLanes = 32;
constexpr u32 kFullMask = 0xffffffffu;
constexpr u32 kNone = 0xffffffffu;
constexpr int kBarriers = 16;

struct Inst;
struct Warp;
struct Block;
struct Launch;
struct Code;
struct Image;
using Handler = void (*)(Warp&, const Inst&, u32 mask);

/// An operand is a place: which of Warp::base (bits 28 and up) and the byte offset from it.
enum Base : u32 { kRegisters = 0, kConstants = 1, kSpecials = 2, kBases = 3 };
constexpr u32 place(Base base, u32 offset) { return static_cast<u32>(base) << 28 | offset; }

/// One decoded instruction: a cache line.
struct alignas(64) Inst {
  Handler run = nullptr;
  const u32* list = nullptr;   // further operands
  const void* link = nullptr;  // branches: the target
  u64 imm = 0;                 // offset, table, reconvergence point: as the handler says
  u32 d = kNone, a = kNone, b = kNone, c = kNone;
  u32 guard = kNone;
  u32 guard_flip = 0;  // all ones for @!p
  u32 body = 0;        // index into Code::source->body
  u32 x = 0;           // what the handler needs
};
static_assert(sizeof(Inst) == 64);

/// A decoded function.
struct Code {
  const ptx::Function* source = nullptr;
  std::vector<Inst> insts;
  u32 register_bytes = 0;
  u32 frame_bytes = 0;                // .local and .param variables, parameters and returns
  std::vector<u32> parameter_offset;  // in the frame (functions) or the parameter buffer (entries)
  std::vector<u32> return_offset;
  u32 parameter_bytes = 0;  // entries
  struct Effects {
    std::vector<u32> defines, uses;  // offsets in the register file
    bool chooses = false;            // selp: the uses are two values (kNone: constant) and a predicate
    bool shuffles = false;           // shfl: the first use (kNone: constant) comes from another lane
    struct Decider {
      u32 place, flip;
    };
    // For a conjunction or disjunction: where such a predicate ^ flip is on, it alone decides.
    std::vector<Decider> deciders;
  };
  std::vector<Effects> effects;  // per PTX instruction; only under full checks
};

struct Join;

/// One activation of a function by some lanes of a warp.
struct Frame {
  const Code* code = nullptr;
  u8* registers = nullptr;
  u32 local_base = 0;  // offset of the frame's variables in each lane's local memory
  u32 lanes = 0;       // which have not returned
  Frame* parent = nullptr;
  Join* back = nullptr;        // where its lanes meet after ret; null for the kernel
  const Inst* call = nullptr;  // the call instruction
  u32 lowered = 0;             // lanes that allocated here (ops_stack.cpp), and their Warp::tops before
  u64 tops[kLanes];
  std::vector<u8> storage;
  // Under full checks: per 4 bytes of registers, a bit per lane; whether one may be set.
  std::vector<u32> undefined;
  bool any_undefined = false;
  u32 undefined_steps = 0;
};

/// Where lanes wait for each other.
struct Join {
  const Inst* pc = nullptr;
  Frame* frame = nullptr;
  Join* parent = nullptr;
  u32 expected = 0, arrived = 0;
  int holders = 0;  // splits and joins that point here
};

struct Split {
  enum class State : u8 { ready, barrier, sync, done };
  const Inst* pc = nullptr;
  Frame* frame = nullptr;
  Join* join = nullptr;
  u32 mask = 0;
  State state = State::ready;
  u32 member = 0;        // sync: the lanes it waits for
  bool aligned = false;  // sync: they all come to this one instruction
  u32 wait_mask = 0;     // sync, barrier: the lanes that execute the instruction
  u32 barrier = 0;
};

/// Lanes that have come to an instruction which others carry out with them from elsewhere.
struct GatheredLanes {
  const Inst* inst = nullptr;
  Frame* frame = nullptr;
  u32 lanes = 0;
};

/// Why Warp's inner loop stopped.
enum Stop : u32 { kRun = 0, kSwitch = 1 };

/// Per-warp special registers, 32 values each, in this order.
enum Special : u32 {
  kTidX,
  kTidY,
  kTidZ,
  kNtidX,
  kNtidY,
  kNtidZ,
  kCtaidX,
  kCtaidY,
  kCtaidZ,
  kNctaidX,
  kNctaidY,
  kNctaidZ,
  kLaneId,
  kWarpId,
  kNwarpId,
  kSmId,
  kNsmId,
  kGridId,
  kLaneEq,
  kLaneLe,
  kLaneLt,
  kLaneGe,
  kLaneGt,
  kDynamicShared,
  kTotalShared,
  kReservedShared,
  kZero,
  kOne,
  kClusterMax,
  kSpecials32,
};

struct Warp {
  u8* base[kBases] = {};
  const Inst* pc = nullptr;
  u32 active = 0;
  u32 stop = kRun;
  i64 fuel = 0;
  u8* shared = nullptr;
  u8* local = nullptr;  // lane 0's local memory
  u64 local_stride = 0;
  u64 tops[kLanes];  // of each lane's local memory: above lies what it has allocated
  Frame* frame = nullptr;
  Join* join = nullptr;
  Block* block = nullptr;
  const Launch* launch = nullptr;
  u32 live = 0;  // lanes that have not exited
  u32 index = 0;
  u32 carry = 0;    // CC.CF, a bit per lane
  u32 polls = 0;    // reads that may be a spin loop's
  u64 changes = 0;  // stores, and atomics that changed something
  u32 stalled_slices = 0;
  size_t current = 0;
  std::vector<Split> splits;
  std::vector<GatheredLanes> gathered;  // of the instruction just gathered for; empty: all are at one place
  std::deque<Join> joins;
  std::vector<Join*> free_joins;
  std::deque<Frame> frames;
  std::vector<Frame*> free_frames;
  alignas(64) u32 specials[kSpecials32][kLanes] = {};
  u64 range_begin = 0, range_end = 0;  // the allocation last accessed, for the checks

  template <class T>
  T* at(u32 operand) {
    return reinterpret_cast<T*>(base[operand >> 28] + (operand & 0x0fffffffu));
  }
  bool done() const { return live == 0; }
};

struct Barrier {
  u32 expected = 0;  // threads; 0: all
  bool used = false;
  std::vector<u32> arrived;  // per warp, lanes
  u32 red_count = 0, red_true = 0;
};

struct Block {
  const Launch* launch = nullptr;
  u32 index = 0;  // linear, in the grid
  u32 ctaid[3] = {};
  std::vector<std::unique_ptr<Warp>> warps;
  GuardedMemory local_storage, shared_storage;
  u8* shared = nullptr;
  u64 shared_size = 0;
  Barrier barriers[kBarriers];
  u64 epoch = 0;  // barriers passed by the whole block
  u64 launch_id = 0;
  u64 random = 0;
  u64 executed = 0;
  bool spinning = false;         // its last step did little but wait in loops
  bool changed = false;          // and this one changed memory
  std::shared_ptr<void> shadow;  // the checks' state
};

/// A fault of the program under test: stops its launch. `code` is a cudaError_t.
struct Fault : std::runtime_error {
  Fault(int error, const std::string& what) : std::runtime_error(what), code(error) {}
  int code;
};

// splits.cpp
void start_warp(Warp& warp, const Code& code, u32 lanes);
/// Runs ready splits until all block or the slice ends; false when nothing could run.
bool run_warp(Warp& warp, i64 slice);
void branch(Warp& warp, const Inst& inst, const Inst* target, u32 taken);
void arrive(Warp& warp);
void exit_lanes(Warp& warp, u32 mask);
/// `others`: where the split's lanes outside the mask continue.
void call_function(Warp& warp, const Inst& inst, const Code& callee, u32 mask, const Inst* others);
void return_lanes(Warp& warp, u32 mask);
/// Lets the lanes waiting at one join continue by themselves, at one where some of the wanted lanes are;
/// false when none wait.
bool release_joins(Warp& warp, u32 wanted = kFullMask);
bool has_ready(const Warp& warp);
/// Leaves active lanes waiting: in a split of their own where others continue.
Split& hold_back(Warp& warp, u32 mask, Split::State state);
/// For *.sync instructions: true when all living lanes of `member` are here, or, unless it is aligned, at
/// another instruction of the kind; `mask` then holds them all, and Warp::gathered where they are if not all
/// are here. Otherwise the mask's lanes are held back, and it is carried out when the last one comes, or has
/// exited.
bool gather(Warp& warp, u32& mask, u32 member, bool aligned);

// block.cpp
void start_block(Block& block, const Launch& launch, u32 index);
/// Runs every warp for a slice; false when the block has ended. Throws Fault.
bool step_block(Block& block);
void wait_barrier(Warp& warp, u32 mask, u32 id, u32 threads);
void arrive_barrier(Warp& warp, u32 mask, u32 id, u32 threads);
void check_barriers(Block& block);

/// "kernel, PTX line 12: ld.global.f32 …, file.cu:3, block (0,0,0) thread (5,0,0)".
std::string describe(const Warp& warp, const Inst& inst, int lane);
[[noreturn]] void fault(int code, const Warp& warp, const Inst& inst, int lane, const std::string& what);

}  // namespace emu
