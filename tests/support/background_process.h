// A program that runs beside the test, to be sent signals.
#pragma once

#include <sys/types.h>

#include <functional>
#include <string>
#include <vector>

#include "tests/support/command.h"

namespace cuclip::test {

/// Started with its standard error in a file and the rest away. Waited for by result() or the destructor, which
/// kills it.
class BackgroundProcess {
 public:
  /// `prepare` runs in the new process before the program: it may ignore signals.
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
  /// Returns when it has said this; throws when it has ended without.
  void wait_until_said(const std::string& text);
  /// Waits for its end. The exit code is 128 + signal where one killed it, as shells say it.
  CommandResult result();

 private:
  TemporaryFolder folder_;
  pid_t pid_ = -1;
  int status_ = 0;
  bool waited_ = false;
};

}  // namespace cuclip::test
