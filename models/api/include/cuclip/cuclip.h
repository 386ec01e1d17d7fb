// cuclip as a library: CLIP models that encode pictures and texts, compare them, classify and search.
//
//   const cuclip::Clip clip = cuclip::Clip::load("runs/mine");
//   std::cout << clip.classify("photo.jpg", {"cat", "dog"}).front().label << '\n';
//
// Any number of threads may call the const functions of one object at once: they share its threads, and each
// call has memory of its own, which is kept for the next. Whatever goes wrong is an exception: InputError for
// wrong arguments and inputs, Error where the work failed (no memory left on the GPU, a full disk), and the
// standard library's where the process has no more memory. Texts are UTF-8, paths are the system's bytes.
// Nothing is printed; what there is to say goes to LoadOptions::log. Which picture files are read, and what
// becomes of them, is said in models/image/image_decode.h; `cuclip info` lists the formats of a build.
#pragma once

#if __cplusplus < 202002L
#error "cuclip.h needs C++20"
#endif

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "common.h"
#include "kernels/common/error.h"

namespace cuclip {

/// What model to load, and how to run it. Words and defaults are those of the executable's flags.
struct LoadOptions {
  /// Of the library, for each model that is loaded; 0: as many as the process may use.
  int threads = 0;
  /// "fp32"; "tf32": the same with products on CUDA's tensor cores; "bf16": activations and products.
  std::string precision = "fp32";
  /// "cpu"; "cuda": the GPU that is current on the calling thread; "cuda:1": the GPU of this number; "auto":
  /// the current GPU if there is one that can be used. The model stays there, whichever is current on the
  /// threads that use it, and theirs stay current.
  std::string device = "auto";
  /// A merges file instead of the model's own.
  std::string tokenizer = {};
  /// The configuration (a built-in name or a JSON file) for weights that have none beside them.
  std::string config = {};
  /// A picture and a text give the same bits alone, in any batch, and by any number of threads. Otherwise how
  /// many are encoded together changes roundings (1e-7). Costs speed: every item is a batch of its own.
  bool batch_invariant = false;
  /// Gets one line for everything that is worth knowing and no error: the GPU that is used, a damaged
  /// checkpoint that was passed over, pictures that could not be indexed. Called on the thread that called
  /// the library, so several threads may be in it at once; what it throws ends the call.
  std::function<void(std::string_view)> log = {};
};

/// Some values as an argument: a vector, an array, a span, or values in braces. Used until the call returns.
template <typename T>
class ListOf {
 public:
  ListOf() = default;
  ListOf(std::initializer_list<T> values) : values_(values.begin(), values.size()) {}
  template <typename Values>
  requires std::convertible_to<Values&&, std::span<const T>> ListOf(Values&& values)
      : values_(static_cast<std::span<const T>>(values)) {}

  operator std::span<const T>() const { return values_; }

 private:
  std::span<const T> values_;
};

/// Pixels of one picture, red, green and blue in one byte each; `stride` bytes from row to row, at least
/// 3 · width; the first row is at the top.
struct RgbView {
  const std::uint8_t* data = nullptr;
  std::size_t width = 0, height = 0, stride = 0;
};

/// Features of N pictures or texts, row by row, each of unit length.
class CUCLIP_API Features {
 public:
  /// None.
  Features() = default;
  /// Of values that were kept somewhere, [N, dimensions]. Throws InputError if they are not whole rows, or if
  /// a row is not of unit length (to within 1 %).
  Features(std::vector<float> values, std::size_t dimensions);

  std::size_t size() const { return dimensions_ == 0 ? 0 : values_.size() / dimensions_; }
  std::size_t dimensions() const { return dimensions_; }
  /// Throws InputError for a row that there is not.
  std::span<const float> row(std::size_t i) const;
  /// All rows, one after the other.
  std::span<const float> values() const { return values_; }

 private:
  std::vector<float> values_;
  std::size_t dimensions_ = 0;
};

/// A file that could not be read.
struct UnreadableFile {
  std::size_t place = 0;  ///< among those that were given
  std::string reason;     ///< a message that names it
};

/// The features of those files, of many, that could be read.
struct ReadableImages {
  Features features;
  std::vector<std::size_t> places;  ///< of each row: the place of its file among those that were given
  std::vector<UnreadableFile> unreadable;
};

/// Values [count, positions, width], in this order, that are not of unit length.
struct Representations {
  std::vector<float> values;
  std::size_t count = 0, positions = 0, width = 0;
};

/// Which hidden states of the text encoder are wanted. Stable Diffusion 1 takes {"last", true, "end"}, 2
/// {"penultimate", true, "zero"}, SDXL {"penultimate", false, "zero"} (its first encoder "end").
struct HiddenStates {
  std::string layer = "last";    ///< or "penultimate"
  bool final_norm = true;        ///< with the final layer norm
  std::string padding = "zero";  ///< what fills up a text: token "zero", or the text's "end" again
};

/// How well a label describes a picture.
struct LabelProbability {
  std::string label;
  std::size_t index = 0;   ///< its place among those that were given
  double probability = 0;  ///< softmax over the labels
  float similarity = 0;    ///< cosine
};

/// A loaded model. Copies share it.
class CUCLIP_API Clip {
 public:
  /// `model` is what `cuclip --model` takes: the folder of a run or of a checkpoint, a .safetensors file or
  /// an index of several, or a built-in name (untrained).
  static Clip load(const std::string& model, const LoadOptions& options = {});
  Clip(const Clip&);
  Clip& operator=(const Clip&);
  ~Clip();

  /// Of the features.
  std::size_t dimensions() const;
  /// "runs/mine/checkpoints/step-120", "ViT-B-32, untrained": for people.
  const std::string& description() const;
  /// What similarities are multiplied by before a softmax.
  float logit_scale() const;
  /// Of the encoders' own features ("pooled"), and the number of positions of a text.
  std::size_t image_width() const;
  std::size_t text_width() const;
  std::size_t context_length() const;

  /// Row i belongs to file i. A picture that cannot be read is an InputError that names it: rows that were
  /// left out would shift all others. A file that is missing is found before anything is encoded, a damaged
  /// one before the batch of 64 that it is in. Without pictures there are no rows.
  Features encode_images(ListOf<std::filesystem::path> files) const;
  Features encode_images(ListOf<RgbView> pictures) const;
  /// The same for files of which some may be missing or damaged: these are passed over, listed with their
  /// reasons, and named in the log.
  ReadableImages encode_readable_images(ListOf<std::filesystem::path> files) const;
  /// A text that is too long for the model is cut; one without anything to read, or that is not UTF-8, is an
  /// InputError. Without texts there are no rows.
  Features encode_texts(ListOf<std::string> texts) const;

  /// What features are made of, [N, 1, width]. `kind` is
  ///   "projected"  features before they have unit length (transformers' get_image_features and
  ///                get_text_features; what SDXL calls the pooled prompt), dimensions() wide
  ///   "pooled"     the encoder's own, before the projection (transformers' pooler_output; what linear probes
  ///                learn from), image_width() or text_width() wide
  /// Otherwise as encode_images and encode_texts.
  Representations represent_images(ListOf<std::filesystem::path> files, const std::string& kind) const;
  Representations represent_images(ListOf<RgbView> pictures, const std::string& kind) const;
  Representations represent_texts(ListOf<std::string> texts, const std::string& kind) const;
  /// The text encoder's states at all positions, [N, context_length(), text_width()]: what text-to-image
  /// models are conditioned on.
  Representations hidden_states(ListOf<std::string> texts, const HiddenStates& which = {}) const;

  /// Cosine similarities [a.size(), b.size()], row by row.
  std::vector<float> similarity(const Features& a, const Features& b) const;

  /// All labels, the best first, as `cuclip classify` computes them. Encodes the labels each time: for more
  /// than one picture make a Classifier, which says more.
  std::vector<LabelProbability> classify(const std::filesystem::path& picture, ListOf<std::string> labels,
                                         ListOf<std::string> templates = {}) const;
  std::vector<LabelProbability> classify(const RgbView& picture, ListOf<std::string> labels,
                                         ListOf<std::string> templates = {}) const;

 private:
  friend class Classifier;
  friend class Index;
  struct Impl;
  [[gnu::visibility("hidden")]] explicit Clip(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// Labels that were encoded once, to classify any number of pictures by. Copies share it, and it keeps its
/// model alive.
class CUCLIP_API Classifier {
 public:
  /// Each label takes the place of {} in each template, and stands for the mean of these texts. Without
  /// templates: "a photo of a {}." Throws InputError for labels or templates that say nothing or are not
  /// UTF-8, for templates without {}, and if there is no label.
  Classifier(const Clip& clip, ListOf<std::string> labels, ListOf<std::string> templates = {});
  Classifier(const Classifier&);
  Classifier& operator=(const Classifier&);
  ~Classifier();

  /// As they were given.
  const std::vector<std::string>& labels() const;
  /// One row for each label, in their order.
  Features features() const;

  /// All labels, the best first; equal ones in their order.
  std::vector<LabelProbability> classify(const std::filesystem::path& picture) const;
  std::vector<LabelProbability> classify(const RgbView& picture) const;
  /// The same for one row of features: encode_images encodes many pictures faster than one at a time.
  std::vector<LabelProbability> classify(std::span<const float> feature) const;

 private:
  struct Impl;
  std::shared_ptr<const Impl> impl_;
};

/// A picture that was found.
struct SearchHit {
  std::string name;  ///< its path; a sample's key in the index of a data set
  std::size_t row = 0;
  float similarity = 0;  ///< cosine
};

class Index;

/// How Index::build goes about it, and whom it tells what. The functions are called on the thread that called
/// build; what they throw ends it.
struct IndexOptions {
  /// What it has of the folder's pictures unchanged is not encoded again, if the same model made it in the
  /// same precision, batch-invariant if this model is (otherwise the log says why not). The new index stores
  /// features in its type.
  const Index* earlier = nullptr;
  /// Called after each batch of 64 with how many of the pictures that had to be read are done. If it returns
  /// false, build ends with what there is: see Index::missing.
  std::function<bool(std::size_t done, std::size_t total)> progress = {};
  /// Gets each picture that cannot be read, once, with a message that names it. The log has it too.
  std::function<void(const std::filesystem::path& file, std::string_view reason)> passed_over = {};
};

/// The features of many pictures, to be searched; the same files as `cuclip index` writes. Copies share it,
/// and it keeps its model alive.
class CUCLIP_API Index {
 public:
  /// Of the pictures in a folder and below it. Pictures that cannot be read are passed over; a folder without
  /// any that can is an InputError.
  static Index build(const Clip& clip, const std::filesystem::path& folder, const IndexOptions& options = {});
  /// Throws InputError for a damaged file, and for the index of another model. All weights are hashed the
  /// first time that a model's index is built or loaded.
  static Index load(const Clip& clip, const std::filesystem::path& file);
  Index(const Index&);
  Index& operator=(const Index&);
  ~Index();

  /// Atomic: the old file is there until the new one is whole. Replaces only an index or an empty file.
  /// Throws InputError for an index without a picture (one that was stopped before it had any).
  void save(const std::filesystem::path& file) const;

  /// Number of pictures.
  std::size_t size() const;
  /// Of an index that is unfinished, because it was stopped or interrupted, the number of pictures that it
  /// has not come to; otherwise 0. Given to build as the earlier one, it is finished.
  std::size_t missing() const;
  /// Of row i < size(), as SearchHit has it.
  std::string name(std::size_t row) const;

  /// The `count` pictures that fit best, the best first; all if there are fewer, none for 0. The words mean
  /// what they mean to `cuclip search`: bird +water -"road sign".
  std::vector<SearchHit> search(const std::string& words, std::size_t count) const;
  /// The same for one row of features, of a picture or a text.
  std::vector<SearchHit> search(std::span<const float> feature, std::size_t count) const;

 private:
  struct Impl;
  [[gnu::visibility("hidden")]] explicit Index(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

/// "0.1.0", of the library that is linked; CUCLIP_VERSION_MAJOR and so on are those of this header.
CUCLIP_API const char* version() noexcept;

}  // namespace cuclip
