// What the ranks of a run say to each other on the control channel, as bytes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

namespace cuclip {

/// No frame has more: it is refused unread, as are the requests of strangers who come upon the port.
inline constexpr uint32_t kMostFrameBytes = 256 << 10;

enum class FrameKind : uint8_t {
  hello,         // Hello, of who joins: the first frame of a connection
  accepted,      // rank 0 knows it, and waits for the others
  welcome,       // Hello of rank 0: all are there
  other_run,     // it belongs to another run; try the next port
  heartbeat,     // Progress, to rank 0 and from it
  contribution,  // Contribution, to rank 0
  result,        // Agreed, from rank 0
  end,           // Ending: the run ends
};

struct Frame {
  FrameKind kind{};
  std::string body;
};

/// Integers and texts one after the other, in the byte order of the machine.
class FrameWriter {
 public:
  FrameWriter& add(int64_t value);
  FrameWriter& add(std::string_view text);
  std::string take() { return std::move(body_); }

 private:
  std::string body_;
};

/// Throws Error where the body is too short for what is asked.
class FrameReader {
 public:
  explicit FrameReader(std::string_view body) : rest_(body) {}
  int64_t integer();
  std::string text();

 private:
  std::string_view rest_;
};

/// Who one is. Its beginning never changes, so that versions can tell each other apart.
struct Hello {
  std::string version;
  std::string run_id;
  int rank = 0, size = 1;
  std::string host;
  int process = 0;
};
Frame to_frame(FrameKind kind, const Hello& hello);
Hello read_hello(std::string_view body);

/// Where a rank is.
struct Progress {
  int64_t step = -1;  // before the first: -1
  std::string operation = "starting";
};
Frame to_frame(const Progress& progress);
Progress read_progress(std::string_view body);

/// "rank 2 (host, process 4242) at step 12 (loss)".
std::string describe(const Hello& who);
std::string describe(const Hello& who, const Progress& progress);

/// Why the run ends, and with which exit code.
struct Ending {
  std::string reason;
  int exit_code = 1;
};
Frame to_frame(const Ending& ending);
Ending read_ending(std::string_view body);

}  // namespace cuclip
