// Who started this process, and as which of several: what mpirun, torchrun and Slurm put into the
// environment.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "core/words.h"

namespace cuclip {

enum class Launcher : uint8_t { none, mpirun, torchrun, slurm };
template <>
inline constexpr std::array<std::string_view, 4> kWords<Launcher>{"none", "mpirun", "torchrun", "slurm"};

/// One process of a run, its rank. A process that nobody launched is rank 0 of 1.
struct Launch {
  Launcher launcher = Launcher::none;
  int rank = 0, size = 1;
  int local_rank = 0, local_size = 1;  // among those on this machine

  // Where rank 0 can be reached: on the first free one of kControlPorts ports from this one on. What names
  // the run, the same for all its ranks. Of torchrun and Slurm: mpirun's ranks tell one another by MPI.
  std::string host{};
  int first_port = 0;
  std::string run_id{};

  bool operator==(const Launch&) const = default;
};
inline constexpr int kControlPorts = 16;

/// An environment variable's value by its name, or null: std::getenv.
using LookUp = std::function<const char*(const char* name)>;

/// The first of these that is there, since the inner launcher's variables are the nearer ones (mpirun within
/// a job of Slurm):
///   mpirun    OMPI_COMM_WORLD_RANK, _SIZE, _LOCAL_RANK, _LOCAL_SIZE (Open MPI)
///   torchrun  RANK, WORLD_SIZE, LOCAL_RANK, LOCAL_WORLD_SIZE, MASTER_ADDR, MASTER_PORT
///   slurm     SLURM_PROCID, SLURM_NTASKS above 1, SLURM_LOCALID, SLURM_STEP_NODELIST and others (srun)
/// Throws InputError, which names the variable, where one is missing or no number, where ranks do not fit
/// their number, and where launchers contradict each other, as variables do that an earlier run left behind.
Launch find_launch(const LookUp& look_up);

}  // namespace cuclip
