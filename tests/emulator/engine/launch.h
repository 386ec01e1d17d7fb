// A kernel launch: decoded code, parameters, and the blocks' way through the host's threads.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>

#include "engine/machine.h"

namespace emu {

enum class CheckLevel : u8 { none, memory, full };

struct Options {
  CheckLevel check = CheckLevel::memory;
  bool random_schedule = false;
  u64 seed = 1;
  int threads = 1;
  u32 edge_blocks = 0;       // only the first and the last so many blocks of a launch are executed; 0: all
  u64 max_instructions = 0;  // warp-instructions a launch may execute; 0: no limit
  double patience = 60;      // seconds a launch may do nothing but wait; 0: no limit
  std::string profile;
  bool profiling() const { return !profile.empty(); }
};

/// Addresses of a module's variables on a device.
struct LinkedModule {
  const ptx::Module* module = nullptr;
  std::unordered_map<std::string_view, u64> address;          // .global and .const
  std::unordered_map<std::string_view, u64> function_handle;  // of functions whose address is taken
};

/// A kernel and all that it calls, decoded.
struct Image {
  const ptx::Module* module = nullptr;
  LinkedModule* linked = nullptr;
  Code* entry = nullptr;
  std::map<std::string_view, std::unique_ptr<Code>> codes;
  std::unordered_map<std::string_view, u32> shared_offset;  // of every .shared variable
  std::vector<std::unique_ptr<u32[]>> lists;
  std::vector<std::unique_ptr<std::vector<const Inst*>>> tables;  // brx.idx
  std::vector<u8> constants;  // each value 32 times; the pool starts at constants_base, aligned
  std::map<std::pair<int, u64>, u32> constant_places;
  u8* constants_base = nullptr;
  u32 static_shared = 0;
  u32 reserved_shared = 0;  // the system's part, when the code names it; behind the dynamic part
  u32 shared_align = 16;
  u64 frame_bytes = 0;     // deepest chain of calls
  bool allocates = false;  // device malloc or free
  bool unbounded_stack = false;
  bool track_effects = false;
  u32 inst_count = 0;
};

constexpr u32 kReservedSharedBytes = 1024;

/// One memory instruction of a warp, before it is carried out.
struct Access {
  enum class Kind : u8 { load, store, atomic, async_copy };
  Kind kind = Kind::load;
  ptx::Space space = ptx::Space::generic;  // generic covers global and const: told apart by address
  u32 mask = 0;
  const u64* address = nullptr;  // 32, of the host
  u32 bytes = 0;                 // per lane
  u32 count = 0;                 // registers per lane
  const u32* places = nullptr;   // their places; null when no register takes part
  u32 register_bytes = 4;        // of each register
  bool strong = false;           // volatile, relaxed, acquire, release
  bool release = false;          // a fence comes first, of the block or the device
  bool block_scope = false;
};

/// What looks over a launch: bounds, races, counts (checks/).
class Watcher {
 public:
  virtual ~Watcher() = default;
  /// Throws Fault to stop the launch.
  virtual void access(Warp& warp, const Inst& inst, const Access& access) = 0;
  /// Before each instruction, when wants_steps().
  virtual void step(Warp& warp, const Inst& inst, u32 mask) = 0;
  virtual bool wants_steps() const = 0;
  /// Before each instruction, executed or not, of a frame in which a register is undefined.
  virtual void undefined_step(Warp&, const Inst&, u32 /*mask*/) {}
  virtual bool tracks_definedness() const { return false; }
  virtual void start_block(Block&) {}
  /// All threads passed a barrier.
  virtual void synchronised(Block&) {}
  virtual void end_block(Block&) {}
  virtual void fence(Warp&, bool /*device*/) {}
  /// After an atomic or a strong load.
  virtual void acquire(Warp&, const Access&) {}
  /// A rule broken that a GPU does not enforce; the launch continues.
  /// `what` is a literal: by its address a repetition is known.
  virtual void violation(Warp&, const Inst&, int /*lane*/, const char* /*what*/) {}
  virtual void async_commit(Warp&, u32 /*mask*/) {}
  virtual void async_wait(Warp&, u32 /*mask*/, u32 /*groups that may stay open*/) {}
};

/// What is launched, fixed before the first block runs. What becomes of it is launch.cpp's.
struct Launch {
  Watcher* watcher = nullptr;  // null: nobody looks
  const Image* image = nullptr;
  std::string_view name;
  u32 grid[3] = {1, 1, 1};
  u32 block[3] = {1, 1, 1};
  u32 dynamic_shared = 0;
  u64 stack_bytes = 0;
  std::vector<u8> parameters;
  bool cooperative = false;
  u32 multiprocessors = 1;
  int device = 0;
  u64 id = 0;
  const Options* options = nullptr;
  std::function<void(std::string_view)> print;  // device printf
  std::function<u64(u64)> allocate;             // device malloc and free
  std::function<bool(u64)> release;

  u32 blocks() const { return grid[0] * grid[1] * grid[2]; }
  u32 threads() const { return block[0] * block[1] * block[2]; }
};

/// Executes the current split until it stops or the slice ends (interpreter.cpp).
void run_split(Warp& warp);

/// Runs all blocks; returns the first fault, if there was one.
std::optional<Fault> run_launch(const Launch& launch);

}  // namespace emu
