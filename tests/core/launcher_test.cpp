#include "core/launcher.h"

#include <catch2/catch.hpp>
#include <map>

namespace cuclip::test {
namespace {

using Catch::Contains;
using Environment = std::map<std::string, std::string>;

Launch found(const Environment& environment) {
  return find_launch([&](const char* name) -> const char* {
    const auto value = environment.find(name);
    return value == environment.end() ? nullptr : value->second.c_str();
  });
}

Environment with(Environment environment, const Environment& changes) {
  for (const auto& [name, value] : changes) environment[name] = value;
  return environment;
}

Environment without(Environment environment, const std::string& name) {
  REQUIRE(environment.erase(name) == 1);
  return environment;
}

const Environment kMpirun{{"OMPI_COMM_WORLD_RANK", "5"},
                          {"OMPI_COMM_WORLD_SIZE", "8"},
                          {"OMPI_COMM_WORLD_LOCAL_RANK", "1"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "4"}};
const Environment kTorchrun{{"RANK", "3"},
                            {"WORLD_SIZE", "4"},
                            {"LOCAL_RANK", "1"},
                            {"LOCAL_WORLD_SIZE", "2"},
                            {"MASTER_ADDR", "first.example"},
                            {"MASTER_PORT", "29500"},
                            {"TORCHELASTIC_RUN_ID", "abc"},
                            {"TORCHELASTIC_RESTART_COUNT", "2"}};
const Environment kSlurm{{"SLURM_PROCID", "10"},
                         {"SLURM_NTASKS", "11"},
                         {"SLURM_LOCALID", "2"},
                         {"SLURM_NODEID", "2"},
                         {"SLURM_STEP_TASKS_PER_NODE", "4(x2),3"},
                         {"SLURM_STEP_NODELIST", "gpu[007-008,12],cpu1"},
                         {"SLURM_JOB_ID", "1501"},
                         {"SLURM_STEP_ID", "4"}};

void refused(const Environment& environment, const std::vector<std::string>& words) {
  try {
    (void)found(environment);
    FAIL("not refused; expected: " << words.front());
  } catch (const InputError& error) {
    for (const std::string& expected : words) CHECK_THAT(error.what(), Contains(expected));
  }
}

TEST_CASE("each launcher's ranks are found, and nobody's are one") {
  CHECK(found({}) == Launch{});
  CHECK(found({{"PATH", "/bin"}, {"MASTER_ADDR", "a"}, {"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "1"}}) ==
        Launch{});
  CHECK(found({{"RANK", ""}, {"WORLD_SIZE", ""}, {"SLURM_NTASKS", "4"}, {"PMI_SIZE", "1"}}) == Launch{});
  CHECK(found(kMpirun) == Launch{Launcher::mpirun, 5, 8, 1, 4, "", 0, ""});
  CHECK(found(kTorchrun) ==
        Launch{Launcher::torchrun, 3, 4, 1, 2, "first.example", 29501, "torchrun first.example:29500 abc 2"});
  CHECK(found(kSlurm) == Launch{Launcher::slurm, 10, 11, 2, 3, "gpu007", 20000 + 16, "slurm 1501.4 0"});
  CHECK(word(found(kSlurm).launcher) == "slurm");
}

TEST_CASE("the inner launcher wins") {
  CHECK(found(with(kSlurm, kMpirun)).launcher == Launcher::mpirun);
  CHECK(found(with(kSlurm, kTorchrun)).launcher == Launcher::torchrun);
  CHECK(found(with(kMpirun, {{"RANK", "5"}, {"WORLD_SIZE", "8"}})).launcher == Launcher::mpirun);
}

TEST_CASE("Slurm's short forms of nodes and tasks") {
  const auto host = [](const char* nodes) {
    return found(with(kSlurm, {{"SLURM_STEP_NODELIST", nodes}})).host;
  };
  CHECK(host("alone") == "alone");
  CHECK(host("a,b") == "a");
  CHECK(host("node-3,node-4") == "node-3");
  CHECK(host("n[1,3-5]x") == "n1x");
  CHECK(host("rack[2-3]n[10-11,14],z") == "rack2n10");
  const auto local = [](const char* tasks, const char* node) {
    return found(with(kSlurm, {{"SLURM_STEP_TASKS_PER_NODE", tasks}, {"SLURM_NODEID", node}})).local_size;
  };
  CHECK(local("11", "0") == 11);
  CHECK(local("4(x2),3", "1") == 4);
  CHECK(local("5,6(x3)", "1") == 6);
  for (const char* tasks : {"x", "4(x", "4(x2", "4(y2)", "4(x2)3", "0", "4,,5", "4(x0),3", "-4"}) {
    CAPTURE(tasks);
    refused(with(kSlurm, {{"SLURM_STEP_TASKS_PER_NODE", tasks}}), {"SLURM_STEP_TASKS_PER_NODE", tasks});
  }
  refused(with(kSlurm, {{"SLURM_NODEID", "3"}}), {"no node", "SLURM_NODEID"});
}

TEST_CASE("what is set by halves is refused by name") {
  for (const auto& whole : {kMpirun, kTorchrun, kSlurm}) {
    for (const auto& [name, value] : whole) {
      if (name.starts_with("TORCHELASTIC") || name == "SLURM_NTASKS" || name == "SLURM_PROCID") continue;
      CAPTURE(name);
      refused(without(whole, name), {name});
      refused(with(whole, {{name, ""}}), {name});
    }
  }
  refused({{"WORLD_SIZE", "4"}}, {"WORLD_SIZE is set, but not RANK", "torchrun"});
  refused({{"RANK", "0"}}, {"RANK is set, but not WORLD_SIZE"});
  // A batch script that starts its program without srun.
  refused({{"SLURM_PROCID", "0"}, {"SLURM_NTASKS", "4"}, {"SLURM_JOB_ID", "7"}},
          {"srun did not start", "4 tasks"});
}

TEST_CASE("what is no number, or out of range, is refused by name") {
  for (const auto& [whole, name] :
       std::vector<std::pair<Environment, std::string>>{{kMpirun, "OMPI_COMM_WORLD_RANK"},
                                                        {kMpirun, "OMPI_COMM_WORLD_SIZE"},
                                                        {kMpirun, "OMPI_COMM_WORLD_LOCAL_RANK"},
                                                        {kMpirun, "OMPI_COMM_WORLD_LOCAL_SIZE"},
                                                        {kTorchrun, "RANK"},
                                                        {kTorchrun, "WORLD_SIZE"},
                                                        {kTorchrun, "LOCAL_RANK"},
                                                        {kTorchrun, "LOCAL_WORLD_SIZE"},
                                                        {kTorchrun, "MASTER_PORT"},
                                                        {kSlurm, "SLURM_PROCID"},
                                                        {kSlurm, "SLURM_NTASKS"},
                                                        {kSlurm, "SLURM_LOCALID"},
                                                        {kSlurm, "SLURM_NODEID"},
                                                        {kSlurm, "SLURM_JOB_ID"}}) {
    for (const char* value : {"x", "-1", "1x", " 1", "0x1", "99999999999"}) {
      CAPTURE(name, value);
      refused(with(whole, {{name, value}}), {name, "must be a number", value});
    }
  }
  refused(with(kMpirun, {{"OMPI_COMM_WORLD_RANK", "8"}}),
          {"OMPI_COMM_WORLD_RANK is 8", "OMPI_COMM_WORLD_SIZE is 8"});
  refused(with(kMpirun, {{"OMPI_COMM_WORLD_LOCAL_RANK", "4"}}), {"OMPI_COMM_WORLD_LOCAL_SIZE is 4"});
  refused(with(kMpirun, {{"OMPI_COMM_WORLD_LOCAL_SIZE", "9"}}), {"from 1 to 8"});
  refused(with(kTorchrun, {{"RANK", "4"}}), {"RANK is 4", "WORLD_SIZE is 4"});
  refused(with(kTorchrun, {{"MASTER_PORT", "65535"}}), {"MASTER_PORT", "from 1 to 65519"});
  refused(with(kSlurm, {{"SLURM_PROCID", "11"}}), {"SLURM_PROCID is 11", "SLURM_NTASKS is 11"});
  refused(with(kSlurm, {{"SLURM_LOCALID", "3"}}), {"SLURM_LOCALID is 3"});
}

TEST_CASE("launchers that contradict each other are refused") {
  refused(with(kMpirun, kTorchrun), {"rank 5 of 8", "rank 3 of 4", "unset"});
  const Environment alone{{"OMPI_COMM_WORLD_RANK", "0"},
                          {"OMPI_COMM_WORLD_SIZE", "1"},
                          {"OMPI_COMM_WORLD_LOCAL_RANK", "0"},
                          {"OMPI_COMM_WORLD_LOCAL_SIZE", "1"}};
  CHECK(found(alone).size == 1);
  refused(with(alone, {{"SLURM_NTASKS", "4"}}), {"1 process", "4 tasks", "SLURM_NTASKS"});
  refused({{"PMI_RANK", "0"}, {"PMI_SIZE", "2"}}, {"PMI_SIZE", "Open MPI"});
}

}  // namespace
}  // namespace cuclip::test
