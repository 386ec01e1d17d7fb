// The model that a command's flags name, loaded.
#pragma once

#include "core/context.h"
#include "models/inference/model_source.h"
#include "train/cli/model_flags.h"

namespace cuclip {

/// A model and what it runs with; neither copied nor moved, since the model refers to the context.
struct Session {
  explicit Session(const ModelFlags& flags);
  Context context;
  LoadedModel loaded;
  const ClipModel& model() const { return *loaded.model; }
};

}  // namespace cuclip
