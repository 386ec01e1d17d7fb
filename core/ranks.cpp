#include "core/ranks.h"

#include "core/control/join_control.h"
#include "core/mpi_communicator.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {

class OneRank : public Ranks {
 public:
  explicit OneRank(const Launch& launch) : Ranks(launch) {}
  Communicator& communicator() override { return alone_; }
  ControlChannel* control() override { return nullptr; }
  void leave() override {}

 private:
  SingleCommunicator alone_;
};

class MpiRanks : public Ranks {
 public:
  MpiRanks(const Launch& launch, const ControlOptions& options)
      : Ranks(launch),
        communicator_(MpiCommunicator::join(launch)),
        control_(join_control(launch, communicator_.get(), options)) {}

  Communicator& communicator() override { return *communicator_; }
  ControlChannel* control() override { return control_.get(); }

  void leave() override {
    communicator_->finish();  // the control channel watches over it
    control_->leave();
  }

 private:
  std::unique_ptr<MpiCommunicator> communicator_;
  std::unique_ptr<ControlChannel> control_;
};

}  // namespace

void Ranks::at(int64_t step, std::string_view operation) {
  if (control()) control()->at(step, operation);
}

void Ranks::fail_run(std::string_view reason, int exit_code) {
  if (control()) control()->fail_run(reason, exit_code);
}

std::unique_ptr<Ranks> join_ranks(const Launch& launch, const ControlOptions& options) {
  if (launch.size == 1) return std::make_unique<OneRank>(launch);
  CUCLIP_CHECK(
      launch.launcher == Launcher::mpirun,
      "{} started {} processes, but on the CPU the ranks of a run exchange messages by MPI: start them with "
      "mpirun -n {}",
      word(launch.launcher), launch.size, launch.size);
  return std::make_unique<MpiRanks>(launch, options);
}

}  // namespace cuclip
