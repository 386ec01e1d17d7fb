#include "core/launcher.h"

#include <algorithm>
#include <charconv>
#include <limits>
#include <optional>
#include <vector>

namespace cuclip {
namespace {

constexpr int kLargest = std::numeric_limits<int>::max();

/// The variables of one launcher.
class Variables {
 public:
  Variables(const LookUp& look_up, Launcher launcher) : look_up_(look_up), launcher_(launcher) {}

  std::optional<std::string_view> find(const char* name) const {
    const char* value = look_up_(name);
    return value == nullptr || *value == '\0' ? std::nullopt : std::optional<std::string_view>(value);
  }

  std::string_view text(const char* name, const char* beside) const {
    const auto value = find(name);
    CUCLIP_CHECK(value,
                 "{} is set, but not {}: {} sets both. Unset what an earlier run left behind, or start the "
                 "ranks with mpirun",
                 beside, name, word(launcher_));
    return *value;
  }

  int number(const char* name, const char* beside, int least, int most = kLargest) const {
    return parsed(name, text(name, beside), least, most);
  }

  std::optional<int> find_number(const char* name, int least) const {
    const auto value = find(name);
    return value ? std::optional(parsed(name, *value, least, kLargest)) : std::nullopt;
  }

 private:
  static int parsed(const char* name, std::string_view text, int least, int most) {
    int value = 0;
    const char* const end = text.data() + text.size();
    const auto [rest, error] = std::from_chars(text.data(), end, value);
    const bool good = error == std::errc() && rest == end && value >= least && value <= most;
    CUCLIP_CHECK(
        good, "{} must be a number {}, got \"{}\"", name,
        most == kLargest ? fmt::format("from {} on", least) : fmt::format("from {} to {}", least, most),
        text);
    return value;
  }

  const LookUp& look_up_;
  Launcher launcher_;
};

void check_rank(const char* rank_name, int rank, const char* size_name, int size) {
  CUCLIP_CHECK(rank < size,
               "{} is {}, but {} is {}: ranks count from 0. Unset what an earlier run left behind", rank_name,
               rank, size_name, size);
}

std::optional<Launch> find_mpirun(const LookUp& look_up) {
  constexpr const char *kRank = "OMPI_COMM_WORLD_RANK", *kSize = "OMPI_COMM_WORLD_SIZE";
  constexpr const char *kLocalRank = "OMPI_COMM_WORLD_LOCAL_RANK", *kLocalSize = "OMPI_COMM_WORLD_LOCAL_SIZE";
  const Variables variables(look_up, Launcher::mpirun);
  if (!variables.find(kRank) && !variables.find(kSize)) return std::nullopt;
  Launch launch{.launcher = Launcher::mpirun};
  launch.rank = variables.number(kRank, kSize, 0);
  launch.size = variables.number(kSize, kRank, 1);
  launch.local_rank = variables.number(kLocalRank, kRank, 0);
  launch.local_size = variables.number(kLocalSize, kRank, 1, launch.size);
  check_rank(kRank, launch.rank, kSize, launch.size);
  check_rank(kLocalRank, launch.local_rank, kLocalSize, launch.local_size);
  return launch;
}

std::optional<Launch> find_torchrun(const LookUp& look_up) {
  constexpr const char *kRank = "RANK", *kSize = "WORLD_SIZE";
  constexpr const char *kLocalRank = "LOCAL_RANK", *kLocalSize = "LOCAL_WORLD_SIZE";
  const Variables variables(look_up, Launcher::torchrun);
  if (!variables.find(kRank) && !variables.find(kSize)) return std::nullopt;
  Launch launch{.launcher = Launcher::torchrun};
  launch.rank = variables.number(kRank, kSize, 0);
  launch.size = variables.number(kSize, kRank, 1);
  launch.local_rank = variables.number(kLocalRank, kRank, 0);
  launch.local_size = variables.number(kLocalSize, kRank, 1, launch.size);
  check_rank(kRank, launch.rank, kSize, launch.size);
  check_rank(kLocalRank, launch.local_rank, kLocalSize, launch.local_size);
  launch.host = variables.text("MASTER_ADDR", kRank);
  // torchrun's agent holds MASTER_PORT itself (pytorch issue 192113).
  const int port = variables.number("MASTER_PORT", kRank, 1, 65535 - kControlPorts);
  launch.first_port = port + 1;
  launch.run_id = fmt::format("torchrun {}:{} {} {}", launch.host, port,
                              variables.find("TORCHELASTIC_RUN_ID").value_or("-"),
                              variables.find("TORCHELASTIC_RESTART_COUNT").value_or("0"));
  return launch;
}

/// The first host of Slurm's short form: "node[03-05,9],other" is node03, node04, node05, node9, other.
std::string first_host(std::string_view nodes) {
  std::string host;
  bool skipped = false, inside = false;  // within brackets: what stands behind their first number
  for (const char c : nodes) {
    if (c == '[') {
      inside = true;
    } else if (c == ']') {
      inside = skipped = false;
    } else if (!inside && c == ',') {
      break;
    } else if (inside && (c == '-' || c == ',')) {
      skipped = true;
    } else if (!skipped) {
      host += c;
    }
  }
  return host;
}

/// How many tasks a node has, of Slurm's short form: "4(x2),3" is 4, 4, 3.
int tasks_of_node(const char* name, std::string_view tasks, int node) {
  const std::string_view whole = tasks;
  while (!tasks.empty()) {
    int each = 0, nodes = 1;
    const std::string_view entry = tasks.substr(0, tasks.find(','));
    tasks.remove_prefix(std::min(entry.size() + 1, tasks.size()));
    const char* const end = entry.data() + entry.size();
    const auto [rest, error] = std::from_chars(entry.data(), end, each);
    bool good = error == std::errc() && each > 0;
    if (good && rest != end) {
      const std::string_view times(rest, static_cast<size_t>(end - rest));
      good = times.starts_with("(x") && times.ends_with(")") &&
             std::from_chars(rest + 2, end - 1, nodes).ptr == end - 1 && nodes > 0;
    }
    CUCLIP_CHECK(good, "{} must be the tasks of each node, as in 4(x2),3, got \"{}\"", name, whole);
    if (node < nodes) return each;
    node -= nodes;
  }
  fail_input("{} is \"{}\", which has no node {} (SLURM_NODEID)", name, whole, node);
}

std::optional<Launch> find_slurm(const LookUp& look_up) {
  constexpr const char *kRank = "SLURM_PROCID", *kSize = "SLURM_NTASKS";
  const Variables variables(look_up, Launcher::slurm);
  const auto tasks = variables.find_number(kSize, 1);
  if (!tasks || *tasks == 1 || !variables.find(kRank)) return std::nullopt;
  Launch launch{.launcher = Launcher::slurm};
  launch.rank = variables.number(kRank, kSize, 0);
  launch.size = *tasks;
  check_rank(kRank, launch.rank, kSize, launch.size);
  const auto nodes = variables.find("SLURM_STEP_NODELIST");
  CUCLIP_CHECK(
      nodes,
      "the job has {} tasks (SLURM_NTASKS), but srun did not start this process (SLURM_STEP_NODELIST is "
      "not set): start it with srun or mpirun, or unset SLURM_NTASKS for a process that computes alone",
      launch.size);
  launch.host = first_host(*nodes);
  launch.local_rank = variables.number("SLURM_LOCALID", kRank, 0);
  const std::string_view on_nodes = variables.text("SLURM_STEP_TASKS_PER_NODE", kRank);
  launch.local_size =
      tasks_of_node("SLURM_STEP_TASKS_PER_NODE", on_nodes, variables.number("SLURM_NODEID", kRank, 0));
  check_rank("SLURM_LOCALID", launch.local_rank, "SLURM_STEP_TASKS_PER_NODE", launch.local_size);
  const int job = variables.number("SLURM_JOB_ID", kRank, 0);
  // Below the ports that Linux gives to whoever asks for any. Jobs that meet on one tell each other apart by
  // the run's name.
  launch.first_port = 20000 + job % 750 * kControlPorts;
  launch.run_id = fmt::format("slurm {}.{} {}", job, variables.text("SLURM_STEP_ID", kRank),
                              variables.find("SLURM_RESTART_COUNT").value_or("0"));
  return launch;
}

/// Launchers that contradict each other: the inner one was started with variables that are not its run's.
void check_agreement(const LookUp& look_up, const Launch& launch) {
  if (launch.launcher != Launcher::mpirun) return;
  const Variables variables(look_up, Launcher::torchrun);
  const auto rank = variables.find_number("RANK", 0), size = variables.find_number("WORLD_SIZE", 1);
  CUCLIP_CHECK(!rank || !size || (*rank == launch.rank && *size == launch.size),
               "mpirun says rank {} of {}, but RANK and WORLD_SIZE say rank {} of {}: unset them, or start "
               "torchrun without mpirun",
               launch.rank, launch.size, *rank, *size);
  const auto tasks = variables.find_number("SLURM_NTASKS", 1);
  CUCLIP_CHECK(
      launch.size > 1 || !tasks || *tasks == 1,
      "mpirun started 1 process in a Slurm job of {} tasks (SLURM_NTASKS): start mpirun with -n {}, or "
      "unset SLURM_NTASKS for a process that computes alone",
      *tasks, *tasks);
}

}  // namespace

Launch find_launch(const LookUp& look_up) {
  for (const auto& find : {find_mpirun, find_torchrun, find_slurm}) {
    if (const auto launch = find(look_up)) {
      check_agreement(look_up, *launch);
      return *launch;
    }
  }
  // MPICH's and Intel's mpirun: each process would take itself for the only one.
  const auto others = Variables(look_up, Launcher::none).find_number("PMI_SIZE", 1);
  CUCLIP_CHECK(!others || *others == 1,
               "an MPI that is not Open MPI started {} processes (PMI_SIZE): use Open MPI's mpirun", *others);
  return {};
}

}  // namespace cuclip
