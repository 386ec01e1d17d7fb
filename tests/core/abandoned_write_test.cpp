// What a signal leaves of a file that is being written: the executable ends itself from another thread.
#include <sys/wait.h>
#include <unistd.h>

#include <catch2/catch.hpp>
#include <thread>

#include "core/file_io.h"
#include "tests/support/command.h"

using namespace cuclip;
namespace fs = std::filesystem;

namespace {

// Exit code of a process that is ended while it writes `path`.
int abandon(const fs::path& path) {
  const pid_t child = ::fork();
  if (child == 0) {
    write_file_atomic(path, [](const ByteSink& sink) {
      const std::string half(100'000, 'x');
      sink(std::as_bytes(std::span<const char>(half.data(), half.size())));
      std::thread([] { abandon_writes_and_exit(130); }).join();
    });
    ::_exit(1);
  }
  int status = 0;
  REQUIRE(::waitpid(child, &status, 0) == child);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

std::vector<std::string> names_in(const fs::path& folder) {
  std::vector<std::string> names;
  for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path().filename());
  return names;
}

}  // namespace

TEST_CASE("a process that ends while it writes leaves the file as it was, and no temporary one") {
  const test::TemporaryFolder folder;
  CHECK(abandon(folder / "new") == 130);
  CHECK(names_in(folder.path()).empty());
  write_file_atomic(folder / "old", "as it was");
  CHECK(abandon(folder / "old") == 130);
  CHECK(names_in(folder.path()) == std::vector<std::string>{"old"});
  CHECK(read_file(folder / "old") == "as it was");
}
