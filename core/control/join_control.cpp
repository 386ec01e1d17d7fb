#include "core/control/join_control.h"

#include <unistd.h>

#include <array>
#include <cstring>
#include <optional>
#include <random>
#include <utility>

#include "core/control/join.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {

std::string host_name() {
  char name[256] = {};
  return ::gethostname(name, sizeof name - 1) == 0 && name[0] != '\0' ? name : "unknown host";
}

std::string random_name() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}{:08x}{:08x}", random(), random(), random(), random());
}

/// Where rank 0 listens and what it calls the run, from rank 0 to all.
void broadcast(ControlAddress& address, std::string& run_id, Communicator& messages) {
  std::array<uint8_t, 4096> bytes{};
  if (messages.rank() == 0) {
    FrameWriter writer;
    writer.add(run_id).add(address.first_port);
    // As many as have room; the last is this machine's own.
    const size_t most = std::min<size_t>(address.hosts.size(), 32);
    writer.add(static_cast<int64_t>(most));
    for (const std::string& host : std::span(address.hosts).last(most)) writer.add(host);
    const std::string text = writer.take();
    std::memcpy(bytes.data(), text.data(), std::min(text.size(), bytes.size()));
  }
  messages.broadcast(make_view(bytes.data(), {std::ssize(bytes)}), 0);
  FrameReader reader({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
  run_id = reader.text();
  address.first_port = static_cast<int>(reader.integer());
  address.hosts.clear();
  for (int64_t left = reader.integer(); left > 0; --left) address.hosts.push_back(reader.text());
}

}  // namespace

std::unique_ptr<ControlChannel> join_control(const Launch& launch, Communicator* messages,
                                             const ControlOptions& options) {
  Hello own{.version = options.version.empty() ? CUCLIP_VERSION : options.version,
            .run_id = launch.run_id,
            .rank = launch.rank,
            .size = launch.size,
            .host = host_name(),
            .process = ::getpid()};
  const bool is_first = launch.rank == 0;
  std::optional<ControlListener> listener;
  ControlAddress address;
  if (launch.launcher == Launcher::mpirun) {
    if (is_first) {
      using Reach = ControlListener::Reach;
      listener.emplace(launch.local_size == launch.size ? Reach::this_machine : Reach::network);
      own.run_id = random_name();
      address = {.hosts = listener->hosts(), .first_port = listener->port()};
    }
    broadcast(address, own.run_id, *messages);
  } else {
    if (is_first) listener.emplace(launch.first_port, kControlPorts);
    address = {.hosts = {launch.host}, .first_port = launch.first_port, .ports = kControlPorts};
  }
  std::vector<Peer> peers;
  if (is_first) {
    peers = gather_ranks(*listener, own, options);
  } else {
    peers.push_back(reach_rank_0(address, own, options));
  }
  return std::make_unique<ControlChannel>(own, std::move(peers), options);
}

}  // namespace cuclip
