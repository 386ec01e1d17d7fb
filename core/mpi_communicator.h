// Ranks that exchange their messages by MPI: on the CPU, started with Open MPI's mpirun.
//
// MPI is not linked. It is called through a library of its own, libcuclip_mpi.so (core/mpi/), which is built
// where there is MPI and opened by the first process that needs it: everything else runs without.
#pragma once

#include <memory>
#include <string>

#include "core/communicator.h"
#include "core/launcher.h"

namespace cuclip {

/// What there is of MPI, for `cuclip info`. Opens libcuclip_mpi.so, but does not begin MPI.
struct MpiLibrary {
  std::string version;  // "Open MPI v4.1.4, ..."
  std::string problem;  // why it cannot be used; empty if it can
};
MpiLibrary find_mpi();

/// Every rank's memory is the host's.
class MpiCommunicator : public Communicator {
 public:
  /// Messages of more bytes go in several pieces: a count of MPI's is an int.
  static constexpr int64_t kPieceBytes = int64_t{1} << 30;

  /// Begins MPI (MPI_Init_thread); once in a process. Throws InputError, which says what is missing, where
  /// MPI or libcuclip_mpi.so is not installed, and Error where MPI fails, or takes this process for another
  /// rank than `launch` says: then it is not the MPI whose mpirun started it.
  static std::unique_ptr<MpiCommunicator> join(const Launch& launch, int64_t piece_bytes = kPieceBytes);

  /// Ends MPI (MPI_Finalize), when all ranks have called it. Afterwards there are no more messages. A process
  /// that exits without has failed: mpirun then ends the others.
  void finish();

 private:
  MpiCommunicator(int rank, int size) : Communicator(rank, size) {}
  std::unique_ptr<Exchange> begin(std::span<const Message> sends, std::span<const Message> receives) override;
};

}  // namespace cuclip
