// What is behind cuclip::Clip: the weights once, and as many contexts as there are calls at a time.
#pragma once

#include <cuclip/cuclip.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "core/precision.h"
#include "kernels/common/current_gpu.h"
#include "models/image/image.h"
#include "models/inference/model_source.h"

namespace cuclip {

/// Pictures as users give them, which must outlive it.
struct [[gnu::visibility("hidden")]] Pictures {
  /// Throw InputError for a file that is missing and for a view of no picture, before anything is loaded.
  explicit Pictures(std::span<const std::filesystem::path> files);
  explicit Pictures(std::span<const RgbView> views);

  int64_t count;
  std::function<Image(int64_t)> load;  // picture i; on any thread
};

struct [[gnu::visibility("hidden")]] Clip::Impl {
  /// What one call at a time runs with: memory of its own, and the threads and weights of all.
  struct Worker {
    explicit Worker(const Impl& clip);
    Context context;
    ClipModel model;
    std::unique_ptr<Worker> next;  // of those that are idle
  };

  /// A worker for as long as it lives.
  class Lease {
   public:
    explicit Lease(const Impl& clip);
    ~Lease();
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Worker* operator->() const { return worker_.get(); }
    /// Waits for what was computed: other contexts may read it from now on.
    void share() const { device_synchronize(worker_->context.device(), worker_->context.stream()); }

   private:
    const GpuScope gpu_;  // the thread may have another current one
    const Impl& clip_;
    std::unique_ptr<Worker> worker_;
  };

  Impl(const std::string& model, const LoadOptions& load_options);

  /// Gives the memory that idle workers have cached back to the system. Thread-safe.
  void release_idle() const;

  /// Hands each line to the user's log.
  void note(const std::vector<std::string>& lines) const;

  /// f32 [pictures.count, width], in the memory of the model's context; there must be pictures. Throws
  /// InputError for one that cannot be read.
  Tensor encode(const ClipModel& model, const Pictures& pictures, FeatureKind kind = FeatureKind::unit) const;
  Features features(const Pictures& pictures) const;
  Representations represent(const Pictures& pictures, const std::string& kind) const;

  const LoadOptions options;
  const std::string spec;  // as `cuclip --model` takes it
  const Precision precision;
  Context context;  // of the weights
  const int gpu;    // on which they are
  const LoadedModel loaded;

 private:
  mutable std::mutex mutex_;
  mutable std::unique_ptr<Worker> idle_;  // a list
};

/// Throws InputError for a text with nothing to read, or that is not UTF-8.
void require_texts(std::span<const std::string> texts, const char* what);

/// Each row of a tensor [N, E]; throws InputError where it has not unit length (a model that overflows).
Features features_of(const Tensor& rows);

/// Of a tensor [N, width] or [N, positions, width].
Representations representations_of(const Tensor& values);

/// f32 [N, E]; N > 0.
Tensor tensor_of(Context& context, const Features& features);

/// f32 [1, width]. Throws InputError, which begins with `what`, for a feature of another width or length.
Tensor row_of(Context& context, std::span<const float> feature, int64_t width, const char* what);

}  // namespace cuclip
