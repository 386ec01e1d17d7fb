// labels: release_only
// Runs of several processes under mpirun: what they send each other, and what becomes of a run that loses
// one.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <regex>
#include <sstream>

#include "core/clock.h"
#include "tests/support/command.h"
#include "tests/support/paths.h"
#include "tests/support/skip.h"

namespace cuclip::test {
namespace {

using Catch::Contains;

std::string mpi_ranks() {
  return (std::filesystem::read_symlink("/proc/self/exe").parent_path() / "mpi_ranks").string();
}

/// Runs a program with variables in its environment besides ours; `env` looks it up in PATH.
CommandResult with_environment(std::vector<std::string> variables, const std::vector<std::string>& command) {
  variables.insert(variables.end(), command.begin(), command.end());
  return run_program("/usr/bin/env", variables);
}

/// Under Open MPI's mpirun on this machine, within a minute.
CommandResult mpirun(int ranks, const std::vector<std::string>& command) {
  std::vector<std::string> whole{"timeout", "-k", "5", "60", "mpirun", "-n", std::to_string(ranks)};
  for (const char* option : {"--oversubscribe", "--bind-to", "none", "--mca", "btl", "self,vader", "--mca",
                             "mpi_yield_when_idle", "1"}) {
    whole.push_back(option);
  }
  whole.insert(whole.end(), command.begin(), command.end());
  return with_environment({"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}, whole);
}

bool has_mpirun() { return with_environment({}, {"mpirun", "--version"}).exit_code == 0; }

#define CUCLIP_NEEDS_MPI()                                               \
  CUCLIP_SKIP_IF(!std::filesystem::exists(mpi_ranks()),                  \
                 "built without MPI (scripts/install_packages.sh mpi)"); \
  CUCLIP_SKIP_IF(!has_mpirun(), "mpirun is not installed (scripts/install_packages.sh mpi)")

/// The lines in which ranks say that they exit, without those of ranks that mpirun ended first.
std::vector<std::string> exits(const CommandResult& result) {
  std::vector<std::string> lines;
  std::istringstream text(result.err);
  for (std::string line; std::getline(text, line);) {
    if (line.find(" exits: ") != std::string::npos) lines.push_back(line);
  }
  return lines;
}

TEST_CASE("messages arrive whole and in order") {
  CUCLIP_NEEDS_MPI();
  for (const int ranks : {2, 4}) {
    for (const char* piece_bytes : {"1000", "1073741824"}) {
      CAPTURE(ranks, piece_bytes);
      const CommandResult result = mpirun(ranks, {mpi_ranks(), "messages", piece_bytes});
      CAPTURE(result.err);
      CHECK(result.exit_code == 0);
      for (int rank = 0; rank < ranks; ++rank) {
        CHECK_THAT(result.out,
                   Contains("rank " + std::to_string(rank) + " of " + std::to_string(ranks) + ": all"));
      }
    }
  }
}

TEST_CASE("a message of another size than the one that is expected is named") {
  CUCLIP_NEEDS_MPI();
  const CommandResult result = mpirun(8, {mpi_ranks(), "sizes"});
  CAPTURE(result.err);
  const std::string sent = ": messages by MPI: rank 0 sent a message of ";
  for (const std::string& line : {"rank 1" + sent + "12 bytes, where 24 are expected of it",
                                  "rank 2" + sent + "more than the 12 bytes that are expected of it",
                                  "rank 3" + sent + "1000 bytes, where 2500 are expected of it",
                                  "rank 4" + sent + "more than the 1000 bytes that are expected of it",
                                  "rank 5" + sent + "0 bytes, where 7 are expected of it",
                                  "rank 6" + sent + "2000 bytes, where 2001 are expected of it",
                                  "rank 7" + sent + "more than the 0 bytes that are expected of it"}) {
    CHECK_THAT(result.out, Contains(line));
  }
}

TEST_CASE("a run ends when all have left, after the step that a rank asked for") {
  CUCLIP_NEEDS_MPI();
  for (const auto& [fault, steps] :
       {std::pair{"none", 30}, std::pair{"asked", 20}, std::pair{"paused", 30}}) {
    CAPTURE(fault);
    const CommandResult result = mpirun(4, {mpi_ranks(), "run", fault, "1"});
    CAPTURE(result.err);
    CHECK(result.exit_code == 0);
    CHECK(exits(result).empty());
    for (int rank = 0; rank < 4; ++rank) {
      CHECK_THAT(result.out,
                 Contains("rank " + std::to_string(rank) + " of 4: " + std::to_string(steps) + " steps"));
    }
  }
}

TEST_CASE("a run that loses a rank ends on all ranks, with the rank's name") {
  CUCLIP_NEEDS_MPI();
  struct Accident {
    const char* fault;
    int rank, ranks, exit_code, others_exit_code;
    const char* words;
  };
  for (const Accident& a : {Accident{"killed", 0, 2, 137, 1, "has ended without saying goodbye"},
                            Accident{"killed", 2, 4, 137, 1, "has ended without saying goodbye"},
                            Accident{"stopped", 0, 4, 1, 1, "has been silent for 2 s"},
                            Accident{"stopped", 1, 2, 1, 1, "has been silent for 2 s"},
                            Accident{"exit", 3, 4, 1, 1, "has ended without saying goodbye"},
                            Accident{"error", 0, 4, 2, 2, "failed: the data are damaged"},
                            Accident{"error", 1, 2, 2, 2, "failed: the data are damaged"}}) {
    CAPTURE(a.fault, a.rank, a.ranks);
    const double begin = seconds_now();
    const CommandResult result = mpirun(a.ranks, {mpi_ranks(), "run", a.fault, std::to_string(a.rank)});
    CAPTURE(result.err);
    // mpirun's is that of the rank whose end it sees first.
    CHECK((result.exit_code == a.exit_code || result.exit_code == a.others_exit_code));
    CHECK(seconds_now() - begin < 30);
    std::smatch process;
    REQUIRE(std::regex_search(result.err, process, std::regex("accident: rank \\d, process (\\d+)\n")));
    const std::regex line("cuclip: rank \\d of " + std::to_string(a.ranks) + " exits: rank " +
                          std::to_string(a.rank) + " \\(\\S+, process " + process[1].str() +
                          "\\) at step (19|20) \\(training\\) " + a.words + ".*");
    const auto said = exits(result);
    CHECK(std::any_of(said.begin(), said.end(),
                      [&](const std::string& text) { return std::regex_match(text, line); }));
  }
}

TEST_CASE("ranks of different versions do not begin") {
  CUCLIP_NEEDS_MPI();
  const CommandResult result = mpirun(4, {mpi_ranks(), "run", "version", "2"});
  CHECK(result.exit_code == 2);
  CHECK_THAT(result.err, Contains("cuclip 0.0.1: they must be the same"));
}

TEST_CASE("cuclip info says as which rank it runs, and by which MPI") {
  CUCLIP_NEEDS_MPI();
  const CommandResult result = mpirun(
      2, {"sh", "-c", "[ $OMPI_COMM_WORLD_RANK = 0 ] || exec " + cuclip_executable() + " info --json"});
  CAPTURE(result.err);
  REQUIRE(result.exit_code == 0);
  const auto info = nlohmann::json::parse(result.out);
  CHECK(info["launcher"]["name"] == "mpirun");
  CHECK(info["launcher"]["rank"] == 1);
  CHECK(info["launcher"]["size"] == 2);
  CHECK(info["launcher"]["local_rank"] == 1);
  CHECK(info["launcher"]["local_size"] == 2);
  CHECK(info["mpi"]["usable"] == true);
  CHECK_THAT(info["mpi"]["library"].get<std::string>(), Contains("MPI"));
}

const std::vector<std::string> kSecondOfTwo{"OMPI_COMM_WORLD_RANK=1", "OMPI_COMM_WORLD_SIZE=2",
                                            "OMPI_COMM_WORLD_LOCAL_RANK=1", "OMPI_COMM_WORLD_LOCAL_SIZE=2"};

TEST_CASE("without the plug-in or MPI's library, what is missing is said") {
  CUCLIP_SKIP_IF(!std::filesystem::exists(mpi_ranks()),
                 "built without MPI (scripts/install_packages.sh mpi)");
  const TemporaryFolder folder;
  const auto lost = folder / "bin/mpi_ranks";
  std::filesystem::create_directory(folder / "bin");
  std::filesystem::copy_file(mpi_ranks(), lost);
  const CommandResult without = with_environment(kSecondOfTwo, {lost.string(), "run", "none", "0"});
  CHECK(without.exit_code == 2);
  CHECK_THAT(without.err, Contains("MPI cannot be used: libcuclip_mpi.so is missing") &&
                              Contains((folder / "lib").string()));
  CHECK(std::count(without.err.begin(), without.err.end(), '\n') == 1);
  // Beside the executable, but without what it links.
  folder.write("lib/libmpi.so.40", "");
  std::filesystem::copy_file(std::filesystem::path(mpi_ranks()).parent_path() / "../../lib/libcuclip_mpi.so",
                             folder / "lib/libcuclip_mpi.so");
  auto environment = kSecondOfTwo;
  environment.push_back("LD_LIBRARY_PATH=" + (folder / "lib").string());
  const CommandResult torn = with_environment(environment, {lost.string(), "run", "none", "0"});
  CHECK(torn.exit_code == 2);
  CHECK_THAT(torn.err,
             Contains("MPI cannot be used: ") && Contains("libmpi.so.40") && Contains("openmpi-bin"));
}

TEST_CASE("a process that MPI takes for another rank than mpirun said does not begin") {
  CUCLIP_NEEDS_MPI();
  auto environment = kSecondOfTwo;
  for (const char* variable : {"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}) {
    environment.push_back(variable);
  }
  // Nobody launched it: Open MPI makes it the only rank of a run of its own.
  const CommandResult result =
      with_environment(environment, {"timeout", "-k", "5", "60", mpi_ranks(), "run", "none", "0"});
  CHECK(result.exit_code == 1);
  CHECK_THAT(result.err,
             Contains("MPI takes this process for rank 0 of 1, mpirun started it as rank 1 of 2"));
}

}  // namespace
}  // namespace cuclip::test
