// Models, features and representations, of cuclip/cuclip_c.h.
#include <fmt/core.h>

#include <filesystem>

#include "models/api/c_support.h"
#include "models/clip/clip.h"
#include "models/files/message.h"
#include "models/files/names.h"

namespace cuclip {
namespace {

LoadOptions load_options(const cuclip_options* options) {
  const cuclip_options known = known_options(options, CUCLIP_OPTIONS_INIT, "options");
  LoadOptions load{.threads = known.threads,
                   .batch_invariant = flag(known.batch_invariant, "options: batch_invariant")};
  if (known.precision) load.precision = known.precision;
  if (known.device) load.device = known.device;
  if (known.tokenizer) load.tokenizer = known.tokenizer;
  if (known.config) load.config = known.config;
  if (known.log) {
    load.log = [log = known.log, user = known.log_user](std::string_view line) {
      log(user, escaped_message(line).c_str());
    };
  }
  return load;
}

HiddenStates hidden_states(const cuclip_hidden_states_options* options) {
  const cuclip_hidden_states_options known =
      known_options(options, CUCLIP_HIDDEN_STATES_OPTIONS_INIT, "hidden_states_options");
  CUCLIP_CHECK(known.reserved == 0, "hidden_states_options: reserved must be 0, got {}", known.reserved);
  HiddenStates which{.final_norm = !flag(known.no_final_norm, "hidden_states_options: no_final_norm")};
  if (known.layer) which.layer = known.layer;
  if (known.padding) which.padding = known.padding;
  return which;
}

std::vector<std::filesystem::path> paths(const char* const* files, size_t count) {
  return strings<std::filesystem::path>(files, count, "files");
}

std::vector<RgbView> views(const cuclip_rgb* pictures, size_t count) {
  std::vector<RgbView> all;
  for (const cuclip_rgb& picture : array(pictures, count, "pictures")) all.push_back(view_of(picture));
  return all;
}

// Writes what `number` says of the model.
template <typename T>
cuclip_status ask(const cuclip_clip* clip, T (Clip::*number)() const, T* to, const char* name) {
  return guarded([&] { *given(to, name) = (Handles::all().get(clip).*number)(); });
}

// encode(model) → Features of `count` items.
template <typename Encode>
cuclip_status encode_into(const cuclip_clip* clip, size_t count, float* features, size_t values,
                          const Encode& encode) {
  return guarded([&] {
    const Clip model = Handles::all().get(clip);
    const auto out = results(features, values, count, model.dimensions(), "features");
    copy_to(encode(model).values(), out);
  });
}

// represent(model) → Representations of `count` items. Of texts or pictures: `pooled` says how wide those
// are.
template <typename Represent>
cuclip_status represent_into(const cuclip_clip* clip, const char* kind, size_t (Clip::*pooled)() const,
                             size_t count, float* representations, size_t values,
                             const Represent& represent) {
  return guarded([&] {
    const Clip model = Handles::all().get(clip);
    const bool is_pooled = parse_word<FeatureKind>("kind", given(kind, "kind")) == FeatureKind::pooled;
    const size_t width = is_pooled ? (model.*pooled)() : model.dimensions();
    const auto out = results(representations, values, count, width, "representations");
    copy_to(represent(model).values, out);
  });
}

// Features [rows, width] as a caller keeps them.
Features features_from(const float* values, size_t rows, size_t width, const char* name) {
  CUCLIP_CHECK(rows <= SIZE_MAX / width, "{}: {} rows cannot be in memory", name, rows);
  const std::span<const float> all = array(values, rows * width, name);
  return Features({all.begin(), all.end()}, width);
}

}  // namespace
}  // namespace cuclip

using namespace cuclip;

cuclip_status cuclip_clip_load(const char* model, const cuclip_options* options, cuclip_clip** clip) {
  return guarded([&] {
    *given(clip, "clip") = nullptr;
    *clip = Handles::all().add(Clip::load(given(model, "model"), load_options(options)));
  });
}

cuclip_status cuclip_clip_free(cuclip_clip* clip) {
  return guarded([&] {
    if (clip) Handles::all().remove(clip);
  });
}

cuclip_status cuclip_clip_description(const cuclip_clip* clip, char* text, size_t size, size_t* length) {
  return guarded(
      [&] { copy_text(escaped_text(Handles::all().get(clip).description()), text, size, length, "text"); });
}

cuclip_status cuclip_clip_dimensions(const cuclip_clip* clip, size_t* dimensions) {
  return ask(clip, &Clip::dimensions, dimensions, "dimensions");
}

cuclip_status cuclip_clip_image_width(const cuclip_clip* clip, size_t* width) {
  return ask(clip, &Clip::image_width, width, "width");
}

cuclip_status cuclip_clip_text_width(const cuclip_clip* clip, size_t* width) {
  return ask(clip, &Clip::text_width, width, "width");
}

cuclip_status cuclip_clip_context_length(const cuclip_clip* clip, size_t* positions) {
  return ask(clip, &Clip::context_length, positions, "positions");
}

cuclip_status cuclip_clip_logit_scale(const cuclip_clip* clip, float* scale) {
  return ask(clip, &Clip::logit_scale, scale, "scale");
}

cuclip_status cuclip_encode_files(const cuclip_clip* clip, const char* const* files, size_t count,
                                  float* features, size_t values) {
  return encode_into(clip, count, features, values,
                     [&](const Clip& model) { return model.encode_images(paths(files, count)); });
}

cuclip_status cuclip_encode_pixels(const cuclip_clip* clip, const cuclip_rgb* pictures, size_t count,
                                   float* features, size_t values) {
  return encode_into(clip, count, features, values,
                     [&](const Clip& model) { return model.encode_images(views(pictures, count)); });
}

cuclip_status cuclip_encode_texts(const cuclip_clip* clip, const char* const* texts, size_t count,
                                  float* features, size_t values) {
  return encode_into(clip, count, features, values,
                     [&](const Clip& model) { return model.encode_texts(strings(texts, count, "texts")); });
}

cuclip_status cuclip_encode_readable_files(const cuclip_clip* clip, const char* const* files, size_t count,
                                           float* features, size_t values, uint8_t* readable) {
  return guarded([&] {
    const Clip model = Handles::all().get(clip);
    const auto out = results(features, values, count, model.dimensions(), "features");
    const std::span<uint8_t> flags = array(readable, count, "readable");
    const ReadableImages found = model.encode_readable_images(paths(files, count));
    std::fill(out.begin(), out.end(), 0.0f);
    std::fill(flags.begin(), flags.end(), uint8_t{0});
    for (size_t row = 0; row < found.places.size(); ++row) {
      const size_t place = found.places[row];
      flags[place] = 1;
      copy_to(found.features.row(row), out.subspan(place * model.dimensions(), model.dimensions()));
    }
  });
}

cuclip_status cuclip_represent_files(const cuclip_clip* clip, const char* kind, const char* const* files,
                                     size_t count, float* representations, size_t values) {
  return represent_into(clip, kind, &Clip::image_width, count, representations, values,
                        [&](const Clip& model) { return model.represent_images(paths(files, count), kind); });
}

cuclip_status cuclip_represent_pixels(const cuclip_clip* clip, const char* kind, const cuclip_rgb* pictures,
                                      size_t count, float* representations, size_t values) {
  return represent_into(
      clip, kind, &Clip::image_width, count, representations, values,
      [&](const Clip& model) { return model.represent_images(views(pictures, count), kind); });
}

cuclip_status cuclip_represent_texts(const cuclip_clip* clip, const char* kind, const char* const* texts,
                                     size_t count, float* representations, size_t values) {
  return represent_into(
      clip, kind, &Clip::text_width, count, representations, values,
      [&](const Clip& model) { return model.represent_texts(strings(texts, count, "texts"), kind); });
}

cuclip_status cuclip_hidden_states(const cuclip_clip* clip, const cuclip_hidden_states_options* options,
                                   const char* const* texts, size_t count, float* states, size_t values) {
  return guarded([&] {
    const Clip model = Handles::all().get(clip);
    const HiddenStates which = hidden_states(options);
    const auto out = results(states, values, count, model.context_length() * model.text_width(), "states");
    copy_to(model.hidden_states(strings(texts, count, "texts"), which).values, out);
  });
}

cuclip_status cuclip_similarity(const cuclip_clip* clip, const float* a, size_t a_rows, const float* b,
                                size_t b_rows, float* similarities, size_t values) {
  return guarded([&] {
    const Clip model = Handles::all().get(clip);
    const size_t width = model.dimensions();
    const auto out = results(similarities, values, a_rows, b_rows, "similarities");
    copy_to(model.similarity(features_from(a, a_rows, width, "a"), features_from(b, b_rows, width, "b")),
            out);
  });
}
