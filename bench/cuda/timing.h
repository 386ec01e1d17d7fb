// Time on the GPU, by CUDA events.
#pragma once

#include <functional>

namespace cuclip::bench {

/// How long the stream takes for what `work` puts on it. Waits for it.
double seconds_of(void* stream, const std::function<void()>& work);

}  // namespace cuclip::bench
