#include "models/api/clip_impl.h"

#include <utility>

#include "core/device_choice.h"
#include "models/inference/encode.h"

namespace cuclip {
namespace {

Device device_of(const LoadOptions& options) { return choose_device(parse_device("device", options.device)); }

int threads_of(const LoadOptions& options) {
  CUCLIP_CHECK(options.threads >= 0 && options.threads <= most_threads(),
               "threads must be from 0, which means all CPUs, to {}, got {}", most_threads(),
               options.threads);
  return options.threads;
}

ModelOptions model_options(const LoadOptions& options, Precision precision) {
  return {.dtype = activation_dtype(precision),
          .tokenizer = options.tokenizer,
          .config_name = options.config,
          .batch_invariant = options.batch_invariant};
}

}  // namespace

Clip::Impl::Impl(const std::string& model, const LoadOptions& load_options)
    : options(load_options),
      spec(model),
      precision(parse_word<Precision>("precision", options.precision)),
      context(threads_of(options), device_of(options)),
      gpu(context.device() == Device::cuda ? current_gpu() : kCurrentGpu),
      loaded(load_model(context, spec, model_options(options, precision))) {
  if (context.device() == Device::cuda) note({"running on " + cuda_description()});
  note(loaded.notes);
}

Clip::Impl::Worker::Worker(const Impl& clip)
    : context(clip.context.pool(), clip.context.device()), model(context, *clip.loaded.model) {
  use_precision(context, clip.precision);
  const auto release = [&clip] { clip.release_idle(); };
  context.allocator().on_shortage(release);
  if (&context.host() != &context) context.host().allocator().on_shortage(release);
}

// Called while a worker that is at work holds its allocator's lock; those of idle ones are held by nobody who
// waits for this one.
void Clip::Impl::release_idle() const {
  const std::lock_guard lock(mutex_);
  for (Worker* worker = idle_.get(); worker; worker = worker->next.get()) {
    worker->context.allocator().release_cached();
    worker->context.host().allocator().release_cached();
  }
}

Clip::Impl::Lease::Lease(const Impl& clip) : gpu_(clip.gpu), clip_(clip) {
  {
    const std::lock_guard lock(clip.mutex_);
    worker_ = std::move(clip.idle_);
    if (worker_) clip.idle_ = std::move(worker_->next);
  }
  if (!worker_) worker_ = std::make_unique<Worker>(clip);
}

Clip::Impl::Lease::~Lease() {
  const std::lock_guard lock(clip_.mutex_);
  worker_->next = std::move(clip_.idle_);
  clip_.idle_ = std::move(worker_);
}

void Clip::Impl::note(const std::vector<std::string>& lines) const {
  if (!options.log) return;
  for (const std::string& line : lines) options.log(line);
}

Tensor Clip::Impl::encode(const ClipModel& model, const Pictures& pictures, FeatureKind kind) const {
  const EncodedPictures encoded =
      encode_pictures(model, pictures.count, pictures.load, {}, kind, UnreadablePictures::refuse);
  note(encoded.damaged);
  return encoded.features;
}

Features Clip::Impl::features(const Pictures& pictures) const {
  if (pictures.count == 0) return Features({}, static_cast<size_t>(loaded.model->config().embed_dim));
  const Lease worker(*this);
  return features_of(encode(worker->model, pictures));
}

Representations Clip::Impl::represent(const Pictures& pictures, const std::string& kind) const {
  const auto wanted = parse_word<FeatureKind>("kind", kind);
  if (pictures.count == 0) return {};
  const Lease worker(*this);
  return representations_of(encode(worker->model, pictures, wanted));
}

}  // namespace cuclip
