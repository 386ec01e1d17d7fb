#include "core/mpi_communicator.h"

#include <dlfcn.h>
#include <fmt/ranges.h>
#include <pthread.h>
#include <signal.h>

#include <algorithm>
#include <filesystem>
#include <system_error>
#include <utility>
#include <vector>

#include "core/mpi/plugin.h"
#include "kernels/common/check.h"
#include "kernels/common/dtype.h"

namespace cuclip {
namespace {

constexpr const char* kLibrary = "libcuclip_mpi.so";
#ifndef CUCLIP_PLUGIN_FOLDER  // seen from the executable's folder
#define CUCLIP_PLUGIN_FOLDER "../lib"
#endif

/// Beside the executable, in the installation's or the build's folder of libraries, and at last where the
/// system looks.
std::vector<std::string> places() {
  std::error_code ignored;
  const auto folder = std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
  std::vector<std::string> places;
  for (const char* relative : {".", "../lib", CUCLIP_PLUGIN_FOLDER}) {
    const std::string place = (folder / relative / kLibrary).lexically_normal().string();
    if (std::find(places.begin(), places.end(), place) == places.end()) places.push_back(place);
  }
  return places;
}

/// The open library, or why there is none.
struct Opened {
  const CuclipMpi* mpi = nullptr;
  std::string problem{};
};

Opened open_library() {
  void* library = nullptr;
  std::error_code ignored;
  const auto tried = places();
  // With its symbols for all: Open MPI's own plug-ins look for those of libmpi.so.
  for (const std::string& place : tried) {
    if (!std::filesystem::exists(place, ignored)) continue;
    library = dlopen(place.c_str(), RTLD_NOW | RTLD_GLOBAL);
    if (!library)
      return {nullptr, fmt::format("{}; is Open MPI installed (Debian: openmpi-bin)?", dlerror())};
    break;
  }
  if (!library) library = dlopen(kLibrary, RTLD_NOW | RTLD_GLOBAL);
  if (!library) {
    return {nullptr, fmt::format("{} is missing, looked for {}: it is built where CMake finds MPI "
                                 "(scripts/install_packages.sh mpi)",
                                 kLibrary, fmt::join(tried, ", "))};
  }
  using Entry = const CuclipMpi* (*)();
  const auto entry = reinterpret_cast<Entry>(dlsym(library, "cuclip_mpi"));
  if (!entry) return {nullptr, fmt::format("{}: {}", kLibrary, dlerror())};
  const int found = entry()->interface_version;
  if (found == CUCLIP_MPI_INTERFACE) return {entry()};
  return {nullptr,
          fmt::format("{} is of another version of cuclip (its interface is {}, not {}): build or install "
                      "both together",
                      kLibrary, found, CUCLIP_MPI_INTERFACE)};
}

const Opened& opened() {
  static const Opened o = open_library();
  return o;
}

const CuclipMpi& mpi() {
  CUCLIP_CHECK(opened().mpi, "MPI cannot be used: {}", opened().problem);
  return *opened().mpi;
}

/// Threads that are started while it exists have asynchronous signals blocked: the program's handlers do not
/// run on them.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    for (const int signal : {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP, SIGSYS}) ::sigdelset(&all, signal);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_{};
};

std::vector<CuclipMpiMessage> to_plugin(std::span<const Message> messages) {
  std::vector<CuclipMpiMessage> all;
  for (const Message& m : messages) {
    all.push_back({m.rank, m.view.data, static_cast<uint64_t>(m.view.elements()) * size_of(m.view.dtype)});
  }
  return all;
}

class MpiExchange : public Exchange {
 public:
  explicit MpiExchange(CuclipMpiExchange* under_way) : under_way_(under_way) {}

  void wait() override {
    CuclipMpiError error{};
    CuclipMpiExchange* const under_way = std::exchange(under_way_, nullptr);
    if (under_way && mpi().wait(under_way, &error)) fail("messages by MPI: {}", error.text);
  }

 private:
  CuclipMpiExchange* under_way_;
};

}  // namespace

MpiLibrary find_mpi() {
  if (!opened().mpi) return {.version = {}, .problem = opened().problem};
  char text[512];
  mpi().library(text, sizeof text);
  std::string version = text;
  return {.version = version.substr(0, version.find_first_of("\n,")), .problem = {}};
}

std::unique_ptr<MpiCommunicator> MpiCommunicator::join(const Launch& launch, int64_t piece_bytes) {
  int rank = 0, size = 0;
  CuclipMpiError error{};
  const SignalsBlocked blocked;
  if (mpi().begin(static_cast<uint64_t>(piece_bytes), &rank, &size, &error)) fail("MPI: {}", error.text);
  if (rank != launch.rank || size != launch.size) {
    fail(
        "MPI takes this process for rank {} of {}, {} started it as rank {} of {}: is {} the MPI that this "
        "mpirun belongs to?",
        rank, size, word(launch.launcher), launch.rank, launch.size, find_mpi().version);
  }
  return std::unique_ptr<MpiCommunicator>(new MpiCommunicator(rank, size));
}

void MpiCommunicator::finish() {
  CuclipMpiError error{};
  if (mpi().finish(&error)) fail("MPI: {}", error.text);
}

std::unique_ptr<Exchange> MpiCommunicator::begin(std::span<const Message> sends,
                                                 std::span<const Message> receives) {
  const auto to_send = to_plugin(sends), to_receive = to_plugin(receives);
  CuclipMpiExchange* under_way = nullptr;
  CuclipMpiError error{};
  if (mpi().exchange(to_send.data(), to_send.size(), to_receive.data(), to_receive.size(), &under_way,
                     &error)) {
    fail("messages by MPI: {}", error.text);
  }
  return std::make_unique<MpiExchange>(under_way);
}

}  // namespace cuclip
