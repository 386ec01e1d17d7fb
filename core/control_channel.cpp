#include "core/control_channel.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "core/clock.h"
#include "core/control/agreement.h"
#include "core/control/join.h"
#include "core/file_io.h"
#include "kernels/common/check.h"
#include "kernels/common/signals.h"

namespace cuclip {
namespace {

/// Not through stdio, whose lock another thread may hold for ever, and without waiting for a reader that does
/// not read.
void say_on_standard_error(const std::string& line) {
  pollfd out{.fd = STDERR_FILENO, .events = POLLOUT, .revents = 0};
  if (::poll(&out, 1, 100) != 1 || (out.revents & POLLOUT) == 0) return;
  const std::string whole = line + "\n";
  (void)!::write(STDERR_FILENO, whole.data(), whole.size());
}

/// Ends the process even where a thread hangs in a file system that is gone, and holds what leaving no
/// temporary files waits for.
void exit_within(std::chrono::seconds limit, int exit_code) {
  std::vector<std::thread> watchdog;
  try {
    start_threads(watchdog, 1, [=](int) {
      std::this_thread::sleep_for(limit);
      ::_exit(exit_code);
    });
    watchdog[0].detach();
  } catch (const Error&) {
    ::_exit(exit_code);
  }
}

}  // namespace

/// The thread that serves the connections, and the orders that the program's threads leave for it.
class ControlChannel::Service {
 public:
  Service(const Hello& own, std::vector<Peer> peers, const ControlOptions& options);
  ~Service();

  Agreed settle(Contribution own);
  void at(int64_t step, std::string_view operation);
  void fail_run(std::string_view reason, int exit_code);

 private:
  struct Member {
    Peer peer;
    Progress progress{};
    double heard = 0;  // by awake_
    std::optional<Contribution> contribution{};
  };

  void serve();
  void wait();
  void pass_time();
  void take_orders();
  void receive(Member& member);
  void handle(Member& member, const Frame& frame);
  void settle_when_complete();
  void keep_alive();
  void notice_late_ranks();
  void give_result(const Agreed& agreed);
  void end_run(const Ending& ending);
  void say_ending() const;
  void say_farewell();
  void say(std::string line) const;
  void close(const std::string& reason);
  void wake() const;
  bool is_first() const { return own_.rank == 0; }

  const Hello own_;
  const ControlOptions options_;
  Descriptor wake_up_;

  // Of the service's thread.
  std::vector<Member> members_;                   // on rank 0 the others, elsewhere rank 0
  std::optional<Contribution> own_contribution_;  // on rank 0
  double awake_ = 0;                              // seconds; while this process is stopped they do not pass
  double clock_ = seconds_now();
  double next_heartbeat_ = 0;
  double agreement_since_ = 0;
  bool noticed_ = false, over_ = false;
  std::optional<Ending> ending_;  // of the run, for this process to exit

  std::mutex mutex_;
  std::condition_variable changed_;
  Progress progress_;
  std::optional<Contribution> ordered_;
  std::optional<Ending> failure_;
  std::optional<Agreed> result_;
  std::optional<std::string> closed_;  // why

  std::vector<std::thread> thread_;
};

ControlChannel::Service::Service(const Hello& own, std::vector<Peer> peers, const ControlOptions& options)
    : own_(own), options_(options), wake_up_(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {
  if (!wake_up_) fail("the ranks' control channel: eventfd: {}", std::generic_category().message(errno));
  for (Peer& peer : peers) members_.push_back({.peer = std::move(peer)});
  start_threads(thread_, 1, [this](int) { serve(); });
}

ControlChannel::Service::~Service() {
  fail_run("it ended early", 1);
  for (std::thread& thread : thread_) thread.join();
}

Agreed ControlChannel::Service::settle(Contribution own) {
  std::unique_lock lock(mutex_);
  if (closed_) fail("{}: {}", own.name, *closed_);
  own.progress = progress_;
  ordered_ = std::move(own);
  const std::string name = ordered_->name;
  wake();
  changed_.wait(lock, [&] { return result_ || closed_; });
  if (!result_) fail("{}: {}", name, *closed_);
  const Agreed agreed = *std::exchange(result_, std::nullopt);
  if (agreed.last) changed_.wait(lock, [&] { return closed_.has_value(); });
  lock.unlock();
  if (agreed.outcome == Agreed::Outcome::differ) throw InputError(agreed.problem);
  if (agreed.outcome != Agreed::Outcome::agreed) throw Error(agreed.problem);
  return agreed;
}

void ControlChannel::Service::at(int64_t step, std::string_view operation) {
  const std::lock_guard lock(mutex_);
  progress_.step = step;
  progress_.operation = operation;
}

void ControlChannel::Service::fail_run(std::string_view reason, int exit_code) {
  std::unique_lock lock(mutex_);
  if (closed_) return;
  failure_ = Ending{
      fmt::format("{} failed: {}", describe(own_, progress_), reason.empty() ? "no reason given" : reason),
      exit_code};
  wake();
  changed_.wait(lock, [&] { return closed_.has_value(); });
}

void ControlChannel::Service::serve() {
  try {
    while (!over_) {
      wait();
      pass_time();
      take_orders();
      for (Member& member : members_) {
        if (!over_) receive(member);
      }
      if (!over_) settle_when_complete();
      if (!over_) keep_alive();
      for (Member& member : members_) member.peer.socket.flush();
    }
  } catch (const std::exception& error) {
    ending_ = {fmt::format("{}: its control channel failed: {}", describe(own_), error.what()), 1};
  }
  if (ending_) say_ending();
  say_farewell();
  if (ending_)
    options_.exit ? options_.exit(ending_->exit_code) : abandon_writes_and_exit(ending_->exit_code);
  close(ending_ ? ending_->reason : "the control channel is closed");
}

/// At once: whoever launched the ranks may end this one as soon as it hears of another's end.
void ControlChannel::Service::say_ending() const {
  if (!options_.exit) exit_within(std::chrono::seconds(5), ending_->exit_code);
  say(fmt::format("cuclip: rank {} of {} exits: {}", own_.rank, own_.size, ending_->reason));
}

/// One line, whatever there is in names and messages.
void ControlChannel::Service::say(std::string line) const {
  std::replace_if(
      line.begin(), line.end(), [](char c) { return static_cast<unsigned char>(c) < ' '; }, '?');
  options_.say ? options_.say(line) : say_on_standard_error(line);
}

void ControlChannel::Service::wait() {
  std::vector<pollfd> sockets{{.fd = wake_up_.get(), .events = POLLIN, .revents = 0}};
  for (const Member& member : members_) {
    const bool sends = member.peer.socket.has_to_send();
    sockets.push_back({.fd = member.peer.socket.fd(),
                       .events = static_cast<int16_t>(POLLIN | (sends ? POLLOUT : 0)),
                       .revents = 0});
  }
  const double seconds = std::clamp(next_heartbeat_ - awake_, 0.0, options_.heartbeat);
  ::poll(sockets.data(), sockets.size(), static_cast<int>(seconds * 1000) + 1);
}

void ControlChannel::Service::pass_time() {
  const double now = seconds_now();
  awake_ += std::min(now - clock_, 2 * options_.heartbeat);
  clock_ = now;
}

void ControlChannel::Service::take_orders() {
  uint64_t count = 0;
  (void)!::read(wake_up_.get(), &count, sizeof count);
  std::optional<Contribution> ordered;
  std::optional<Ending> failure;
  {
    const std::lock_guard lock(mutex_);
    ordered = std::exchange(ordered_, std::nullopt);
    failure = failure_;
  }
  if (failure) {
    for (Member& member : members_) member.peer.socket.put(to_frame(*failure));
    over_ = true;
  } else if (ordered && is_first()) {
    own_contribution_ = std::move(ordered);
  } else if (ordered) {
    members_[0].peer.socket.put(to_frame(*ordered));
  }
}

void ControlChannel::Service::receive(Member& member) {
  const bool open = member.peer.socket.receive();
  try {
    while (!over_) {
      const auto frame = member.peer.socket.next();
      if (!frame) break;
      member.heard = awake_;
      handle(member, *frame);
    }
  } catch (const Error& error) {
    end_run(
        {fmt::format("{} is not understood: {}", describe(member.peer.who, member.progress), error.what()),
         1});
  }
  if (!open && !over_) {
    end_run({fmt::format("{} has ended without saying goodbye: killed, or crashed?",
                         describe(member.peer.who, member.progress)),
             1});
  }
}

void ControlChannel::Service::handle(Member& member, const Frame& frame) {
  if (frame.kind == FrameKind::heartbeat) {
    member.progress = read_progress(frame.body);
  } else if (frame.kind == FrameKind::contribution && is_first()) {
    member.contribution = read_contribution(frame.body);
    member.progress = member.contribution->progress;
  } else if (frame.kind == FrameKind::result && !is_first()) {
    const Agreed agreed = read_agreed(frame.body);
    member.progress = agreed.progress;
    give_result(agreed);
  } else if (frame.kind == FrameKind::end) {
    end_run(read_ending(frame.body));
  }
}

void ControlChannel::Service::settle_when_complete() {
  if (!is_first()) return;
  const auto is_there = [](const Member& member) { return member.contribution.has_value(); };
  const bool any = own_contribution_ || std::any_of(members_.begin(), members_.end(), is_there);
  if (!any) {
    agreement_since_ = awake_;
    noticed_ = false;
  }
  if (!own_contribution_ || !std::all_of(members_.begin(), members_.end(), is_there)) return;
  std::vector<Contribution> by_rank{*std::exchange(own_contribution_, std::nullopt)};
  for (Member& member : members_) by_rank.push_back(*std::exchange(member.contribution, std::nullopt));
  Agreed agreed = cuclip::settle(by_rank);
  agreed.progress = by_rank[0].progress;
  for (Member& member : members_) member.peer.socket.put(to_frame(agreed));
  agreement_since_ = awake_;
  noticed_ = false;
  give_result(agreed);
}

void ControlChannel::Service::give_result(const Agreed& agreed) {
  over_ = agreed.last;
  const std::lock_guard lock(mutex_);
  result_ = agreed;
  changed_.notify_all();
}

void ControlChannel::Service::keep_alive() {
  for (const Member& member : members_) {
    if (awake_ - member.heard <= options_.silence) continue;
    end_run({fmt::format("{} has been silent for {:.0f} s: stopped, or is its machine gone?",
                         describe(member.peer.who, member.progress), awake_ - member.heard),
             1});
    return;
  }
  notice_late_ranks();
  if (awake_ < next_heartbeat_) return;
  next_heartbeat_ = awake_ + options_.heartbeat;
  const std::lock_guard lock(mutex_);
  for (Member& member : members_) member.peer.socket.put(to_frame(progress_));
}

void ControlChannel::Service::notice_late_ranks() {
  if (!is_first() || noticed_ || awake_ - agreement_since_ < options_.notice) return;
  noticed_ = true;
  constexpr size_t kMostNamed = 4;
  std::vector<std::string> late;
  if (!own_contribution_) {
    const std::lock_guard lock(mutex_);
    late.push_back(describe(own_, progress_));
  }
  for (const Member& member : members_) {
    if (!member.contribution) late.push_back(describe(member.peer.who, member.progress));
  }
  const size_t others = late.size() - std::min(late.size(), kMostNamed);
  late.resize(late.size() - others);
  std::string line =
      fmt::format("cuclip: the other ranks have waited {:.0f} s for {}", awake_ - agreement_since_, late[0]);
  for (size_t i = 1; i < late.size(); ++i) line += ", " + late[i];
  if (others > 0) line += fmt::format(" and {} others", others);
  say(line);
}

/// Rank 0 tells the others; and they tell rank 0, which may have been stopped, and is continued by whoever
/// ends it: it is not to name those whose connections have ended by then.
void ControlChannel::Service::end_run(const Ending& ending) {
  over_ = true;
  ending_ = ending;
  for (Member& member : members_) member.peer.socket.put(to_frame(ending));
}

void ControlChannel::Service::say_farewell() {
  std::vector<FrameSocket> sockets;
  for (Member& member : members_) sockets.push_back(std::move(member.peer.socket));
  // Whoever only heard of the end has nobody to wait for.
  part(std::move(sockets), is_first() || !ending_, options_.farewell);
}

void ControlChannel::Service::close(const std::string& reason) {
  const std::lock_guard lock(mutex_);
  closed_ = reason;
  changed_.notify_all();
}

void ControlChannel::Service::wake() const {
  const uint64_t one = 1;
  (void)!::write(wake_up_.get(), &one, sizeof one);
}

ControlChannel::ControlChannel(const Hello& own, std::vector<Peer> peers, const ControlOptions& options)
    : service_(std::make_unique<Service>(own, std::move(peers), options)) {}

ControlChannel::~ControlChannel() = default;

void ControlChannel::agree(std::string_view name, std::string_view bytes) {
  service_->settle(contribute_same(name, bytes));
}

int64_t ControlChannel::maximum(std::string_view name, int64_t value) {
  return service_->settle(contribute_maximum(name, value)).value;
}

void ControlChannel::at(int64_t step, std::string_view operation) { service_->at(step, operation); }

void ControlChannel::fail_run(std::string_view reason, int exit_code) {
  service_->fail_run(reason, exit_code);
}

void ControlChannel::leave() {
  service_->settle({.kind = AgreementKind::leave, .name = "the end of the run"});
}

}  // namespace cuclip
