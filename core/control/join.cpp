#include "core/control/join.h"

#include <fmt/ranges.h>
#include <netdb.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <memory>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "core/clock.h"
#include "core/control/agreement.h"
#include "kernels/common/check.h"

namespace cuclip {
namespace {

// A stranger has so long to say who it is, and a port so long to answer.
constexpr double kIntroduction = 10, kAnswer = 5, kConnect = 3, kBetweenRounds = 0.05;

[[noreturn]] void throw_ending(const Ending& ending) {
  if (ending.exit_code == 2) throw InputError(ending.reason);
  throw Error(ending.reason);
}

void wait_for(std::vector<pollfd>& sockets, double seconds) {
  const int milliseconds = static_cast<int>(std::clamp(seconds, 0.0, 1.0) * 1000) + 1;
  ::poll(sockets.data(), sockets.size(), milliseconds);
}

/// Rank 0 while the others come.
class Gathering {
 public:
  Gathering(const ControlListener& listener, const Hello& own, const ControlOptions& options)
      : listener_(listener), own_(own), options_(options), peers_(static_cast<size_t>(own.size - 1)) {}

  std::vector<Peer> all() {
    const double deadline = seconds_now() + options_.join;
    while (missing().size() > 0) {
      const double now = seconds_now();
      if (now >= deadline) {
        end_for_all(
            {fmt::format("{} of {} did not join within {:.0f} s: started at all, and is rank 0 "
                         "({}, port {}) reachable for them?",
                         name_ranks(missing()), own_.size, options_.join, own_.host, listener_.port()),
             1});
      }
      wait(deadline - now);
      accept();
      for (Peer& peer : peers_) {
        // What has gone may come again, until time is over.
        if (peer.socket && !peer.socket.receive()) peer = {};
      }
      for (Stranger& stranger : strangers_) hear(stranger);
      std::erase_if(strangers_,
                    [&](const Stranger& s) { return !s.socket || now - s.since > kIntroduction; });
    }
    for (Peer& peer : peers_) {
      peer.socket.put(to_frame(FrameKind::welcome, own_));
      peer.socket.flush();
    }
    return std::move(peers_);
  }

 private:
  struct Stranger {
    FrameSocket socket;
    double since = 0;
  };

  std::vector<int> missing() const {
    std::vector<int> ranks;
    for (int rank = 1; rank < own_.size; ++rank) {
      if (!peers_[static_cast<size_t>(rank - 1)].socket) ranks.push_back(rank);
    }
    return ranks;
  }

  void wait(double seconds) const {
    std::vector<pollfd> sockets{{.fd = listener_.fd(), .events = POLLIN, .revents = 0}};
    for (const Peer& peer : peers_)
      sockets.push_back({.fd = peer.socket.fd(), .events = POLLIN, .revents = 0});
    for (const Stranger& s : strangers_)
      sockets.push_back({.fd = s.socket.fd(), .events = POLLIN, .revents = 0});
    wait_for(sockets, seconds);
  }

  void accept() {
    for (;;) {
      Descriptor socket(::accept4(listener_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
      if (!socket) {
        if (errno == EMFILE || errno == ENFILE) {
          end_for_all(
              {"rank 0 has no file descriptor left for the other ranks: raise its limit (ulimit -n)", 1});
        }
        return;
      }
      strangers_.push_back({FrameSocket(std::move(socket)), seconds_now()});
    }
  }

  /// Afterwards it has no socket any more, or has yet to say who it is.
  void hear(Stranger& stranger) {
    try {
      const bool open = stranger.socket.receive();
      const auto frame = stranger.socket.next();
      if (frame && frame->kind == FrameKind::hello) {
        let_in(read_hello(frame->body), std::exchange(stranger.socket, {}));
      } else if (frame || !open) {
        stranger.socket = {};
      }
    } catch (const InputError&) {
      throw;
    } catch (const Error&) {
      stranger.socket = {};  // it is none of ours
    }
  }

  void let_in(const Hello& who, FrameSocket socket) {
    if (who.run_id != own_.run_id) {
      socket.put({FrameKind::other_run, {}});
      socket.flush();
      return;
    }
    std::string problem;
    if (who.version != own_.version) {
      problem = fmt::format("{} runs cuclip {}, and {} cuclip {}: they must be the same", describe(own_),
                            own_.version, describe(who), who.version);
    } else if (who.size != own_.size || who.rank < 1 || who.rank >= own_.size) {
      problem = fmt::format("{} was started as one of {} ranks, and {} as one of {}", describe(own_),
                            own_.size, describe(who), who.size);
    } else if (Peer& place = peers_[static_cast<size_t>(who.rank - 1)];
               place.socket && place.socket.receive()) {
      problem = fmt::format("two processes were started as rank {}: {} and {}", who.rank, describe(place.who),
                            describe(who));
    } else {
      socket.put({FrameKind::accepted, {}});
      socket.flush();
      place = {who, std::move(socket)};
      return;
    }
    strangers_.push_back({std::move(socket), 0});
    end_for_all({problem, 2});
  }

  [[noreturn]] void end_for_all(const Ending& ending) {
    const auto tell = [&](FrameSocket& socket) {
      if (!socket) return;
      socket.put(to_frame(ending));
      socket.flush();
    };
    for (Peer& peer : peers_) tell(peer.socket);
    for (Stranger& stranger : strangers_) tell(stranger.socket);
    throw_ending(ending);
  }

  const ControlListener& listener_;
  const Hello& own_;
  const ControlOptions& options_;
  std::vector<Peer> peers_;
  std::vector<Stranger> strangers_;
};

/// A connected socket; none, and errno, where there is nobody.
Descriptor connect_to(const addrinfo& address, double seconds) {
  Descriptor socket(::socket(address.ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket || ::connect(socket.get(), address.ai_addr, address.ai_addrlen) == 0) return socket;
  if (errno != EINPROGRESS) return Descriptor();
  pollfd ready{.fd = socket.get(), .events = POLLOUT, .revents = 0};
  if (::poll(&ready, 1, static_cast<int>(seconds * 1000)) != 1) {
    errno = ETIMEDOUT;
    return Descriptor();
  }
  int error = 0;
  socklen_t size = sizeof error;
  ::getsockopt(socket.get(), SOL_SOCKET, SO_ERROR, &error, &size);
  errno = error;
  return error == 0 ? std::move(socket) : Descriptor();
}

/// The next frame; none at the end of the connection or of the time.
std::optional<Frame> await_frame(FrameSocket& socket, double deadline) {
  for (bool open = true;;) {
    if (auto frame = socket.next()) return frame;
    const double left = deadline - seconds_now();
    if (!open || left <= 0) return std::nullopt;
    std::vector<pollfd> sockets{{.fd = socket.fd(), .events = POLLIN, .revents = 0}};
    wait_for(sockets, left);
    open = socket.receive();
  }
}

/// Another rank while it looks for rank 0.
class Search {
 public:
  Search(const ControlAddress& address, const Hello& own, const ControlOptions& options)
      : address_(address), own_(own), deadline_(seconds_now() + options.join), seconds_(options.join) {}

  Peer find() {
    for (;;) {
      for (int i = 0; i < address_.ports; ++i) {
        for (const std::string& host : address_.hosts) {
          if (auto found = ask(host, address_.first_port + i)) return std::move(*found);
          if (seconds_now() >= deadline_) give_up();
        }
      }
      std::this_thread::sleep_for(std::chrono::duration<double>(kBetweenRounds));
    }
  }

 private:
  std::optional<Peer> ask(const std::string& host, int port) {
    addrinfo hints{}, *addresses = nullptr;
    hints.ai_socktype = SOCK_STREAM;
    hints.ai_flags = AI_NUMERICSERV;
    const int unknown = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &addresses);
    if (unknown != 0) {
      note(host, port, ::gai_strerror(unknown));
      return std::nullopt;
    }
    const std::unique_ptr<addrinfo, void (*)(addrinfo*)> owner(addresses, ::freeaddrinfo);
    for (const addrinfo* a = addresses; a != nullptr; a = a->ai_next) {
      Descriptor connected = connect_to(*a, std::clamp(deadline_ - seconds_now(), 0.0, kConnect));
      if (!connected) {
        note(host, port, std::generic_category().message(errno));
      } else if (auto found = introduce(FrameSocket(std::move(connected)), host, port)) {
        return found;
      }
    }
    return std::nullopt;
  }

  std::optional<Peer> introduce(FrameSocket socket, const std::string& host, int port) {
    try {
      socket.put(to_frame(FrameKind::hello, own_));
      socket.flush();
      auto answer = await_frame(socket, std::min(deadline_, seconds_now() + kAnswer));
      // Rank 0 says itself when it has waited too long.
      if (answer && answer->kind == FrameKind::accepted) answer = await_frame(socket, deadline_ + kAnswer);
      if (answer && answer->kind == FrameKind::welcome)
        return Peer{read_hello(answer->body), std::move(socket)};
      if (answer && answer->kind == FrameKind::end) refused_ = read_ending(answer->body);
      note(host, port, answer ? "another run's" : "no answer");
    } catch (const Error& error) {
      note(host, port, error.what());
    }
    if (refused_) throw_ending(*refused_);
    return std::nullopt;
  }

  void note(const std::string& host, int port, const std::string& problem) {
    // Of ports that nobody has the first one's stands for all.
    if (problem_.empty() || port == address_.first_port)
      problem_ = fmt::format("{} port {}: {}", host, port, problem);
  }

  [[noreturn]] void give_up() const {
    const int last = address_.first_port + address_.ports - 1;
    fail(
        "{} did not find rank 0 within {:.0f} s at {}, {} ({}): does it run, and may ranks reach each other "
        "by TCP?",
        describe(own_), seconds_, fmt::join(address_.hosts, ", "),
        address_.ports == 1 ? fmt::format("port {}", last)
                            : fmt::format("ports {} to {}", address_.first_port, last),
        problem_);
  }

  const ControlAddress& address_;
  const Hello& own_;
  double deadline_, seconds_;
  std::string problem_;
  std::optional<Ending> refused_;
};

/// One connection for each rank: more than many systems give a process that does not ask.
void raise_descriptor_limit() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur == limit.rlim_max) return;
  limit.rlim_cur = limit.rlim_max;
  ::setrlimit(RLIMIT_NOFILE, &limit);
}

}  // namespace

std::vector<Peer> gather_ranks(const ControlListener& listener, const Hello& own,
                               const ControlOptions& options) {
  constexpr int kFewRanks = 256;
  if (own.size > kFewRanks) raise_descriptor_limit();
  return Gathering(listener, own, options).all();
}

Peer reach_rank_0(const ControlAddress& address, const Hello& own, const ControlOptions& options) {
  return Search(address, own, options).find();
}

}  // namespace cuclip
