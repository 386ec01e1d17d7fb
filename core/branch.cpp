#include "core/branch.h"

#include <exception>

namespace cuclip {

void Branch::run(const std::function<void()>& beside, const std::function<void()>& own) {
  void* const stream = context_.stream();
  void* const branch = workspace_.queue->stream.handle();
  fork_.record(stream);
  fork_.make_stream_wait(branch);
  const auto join = [&] {
    join_.record(branch);
    join_.make_stream_wait(stream);
  };
  try {
    {
      const WorkspaceScope scope(context_, workspace_);
      beside();
    }
    own();
  } catch (...) {
    // What is on the branch may use memory of the context's stream.
    try {
      join();
    } catch (const std::exception&) {  // the device has failed: the first error says how
    }
    throw;
  }
  join();
}

}  // namespace cuclip
