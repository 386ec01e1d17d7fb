#include "tests/support/control_ranks.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <system_error>
#include <thread>

#include "kernels/common/check.h"

namespace cuclip::test {

ControlOptions watched(ControlOptions options, RankEnd& end) {
  const auto mutex = std::make_shared<std::mutex>();
  options.say = [&end, mutex](const std::string& line) {
    const std::lock_guard lock(*mutex);
    end.said.push_back(line);
  };
  options.exit = [&end, mutex](int exit_code) {
    const std::lock_guard lock(*mutex);
    end.exit_code = exit_code;
  };
  return options;
}

Hello hello_of(int rank, int size, const std::string& run_id) {
  return {.version = "1.0",
          .run_id = run_id,
          .rank = rank,
          .size = size,
          .host = fmt::format("host{}", rank),
          .process = 1000 + rank};
}

std::vector<RankEnd> run_control_ranks(int size, const std::vector<int>& ranks, const ControlOptions& options,
                                       const std::function<void(ControlChannel&, int rank)>& rank,
                                       const std::function<void(int port)>& beside) {
  const ControlListener listener(ControlListener::Reach::this_machine);
  std::vector<RankEnd> ends(ranks.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < ranks.size(); ++i) {
    threads.emplace_back([&, i] {
      const Hello own = hello_of(ranks[i], size);
      const ControlOptions own_options = watched(options, ends[i]);
      try {
        std::vector<Peer> peers;
        if (own.rank == 0) {
          peers = gather_ranks(listener, own, own_options);
        } else {
          peers.push_back(reach_rank_0({{"127.0.0.1"}, listener.port(), 1}, own, own_options));
        }
        ControlChannel channel(own, std::move(peers), own_options);
        rank(channel, own.rank);
      } catch (const std::exception& error) {
        ends[i].thrown = error.what();
        ends[i].wrong_input = dynamic_cast<const InputError*>(&error) != nullptr;
      }
    });
  }
  if (beside) beside(listener.port());
  for (std::thread& thread : threads) thread.join();
  return ends;
}

Descriptor connect_to_port(int port) {
  Descriptor socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    throw std::system_error(errno, std::generic_category(), "connect");
  }
  return socket;
}

PlayedRank accept_rank(const ControlListener& listener) {
  pollfd ready{.fd = listener.fd(), .events = POLLIN, .revents = 0};
  ::poll(&ready, 1, -1);
  return PlayedRank(FrameSocket(Descriptor(::accept4(listener.fd(), nullptr, nullptr, SOCK_CLOEXEC))));
}

PlayedRank::PlayedRank(int port, const Hello& hello) : socket_(connect_to_port(port)) {
  say(to_frame(FrameKind::hello, hello));
}

void PlayedRank::say(const Frame& frame) {
  socket_.put(frame);
  while (socket_.flush() && socket_.has_to_send()) {
  }
}

Frame PlayedRank::hear(std::initializer_list<FrameKind> kinds) {
  for (bool open = true;;) {
    while (auto frame = socket_.next()) {
      if (std::find(kinds.begin(), kinds.end(), frame->kind) != kinds.end()) return *frame;
    }
    if (!open) throw Error("the connection has ended");
    pollfd ready{.fd = socket_.fd(), .events = POLLIN, .revents = 0};
    ::poll(&ready, 1, -1);
    open = socket_.receive();
  }
}

}  // namespace cuclip::test
