#include "train/cli/session.h"

#include "train/cli/printing.h"

namespace cuclip {
namespace {

ModelOptions options_of(const ModelFlags& flags) {
  return {.dtype = activation_dtype(flags.precision),
          .tokenizer = flags.tokenizer,
          .config_name = flags.config_name};
}

}  // namespace

Session::Session(const ModelFlags& flags)
    : context(flags.threads, announced_device(flags.device)),
      loaded(load_model(context, flags.model, options_of(flags))) {
  use_precision(context, flags.precision);
  print_notes(loaded.notes);
}

}  // namespace cuclip
