// A program that runs beside the test, to be sent signals.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/support/command.h"

namespace cuclip::test {

/// Started with its standard error in a file and the rest away. Waited for by result() or the destructor,
/// which kills it.
class BackgroundProcess {
 public:
  /// SIGINT, SIGTERM and SIGHUP are neither ignored nor blocked, whatever they are here. `prepare` runs in
  /// the new process before the program: it may ignore signals. Standard error is the file when it has run.
  explicit BackgroundProcess(const std::vector<std::string>& command,
                             const std::function<void()>& prepare = {});
  ~BackgroundProcess();
  BackgroundProcess(const BackgroundProcess&) = delete;
  BackgroundProcess& operator=(const BackgroundProcess&) = delete;

  pid_t pid() const { return pid_; }
  void signal(int number) const;
  bool ended();
  /// What it has written to standard error so far.
  std::string said() const;
  /// What it has computed for, all its threads together: starting takes a tenth of a second, however busy the
  /// machine.
  double processor_seconds() const;
  /// Returns when it has done what the words say ("said ..."); throws when it has ended without, or after
  /// minutes.
  void wait_while_running_until(const std::string& what, const std::function<bool()>& happened);
  void wait_until_said(const std::string& text);
  /// Waits for its end, and throws after minutes. The exit code is -signal where one killed it.
  CommandResult result();

 private:
  void wait_until(const std::string& what, const std::function<bool()>& happened);

  TemporaryFolder folder_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool waited_ = false;
};

}  // namespace cuclip::test
