// Parameters: named tensors that are learned, kept together in flat arenas.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <string>
#include <string_view>

#include "core/initialiser.h"
#include "core/tensor.h"

namespace cuclip {

/// What a parameter is for: what the optimiser decides by.
enum class ParameterRole : uint8_t {
  weight,     // what a product multiplies by: a matrix, or a vision transformer's patch filters
  filters,    // of conv2d, [out, k, k, in]; files have them as PyTorch does, [out, in, k, k]
  bias,       // what is added to a product
  norm,       // scale and shift of a normalisation
  embedding,  // a table of vectors that are looked up
  position,   // vectors that are added by position
  token,      // a vector that stands in a sequence: the class token
  scale,      // a learned factor: the temperature
  statistic,  // what batch normalisation has measured: kept with the parameters, never learned
};

/// One learned tensor. value is the f32 master copy; bf16 is the copy that products in bf16 read.
struct Parameter {
  std::string name;  // open_clip's state-dict name
  Shape shape;
  ParameterRole role = ParameterRole::weight;
  Initialiser initialiser = Initialiser::zeros();
  bool frozen = false;  // left as it is by the optimiser, as statistics always are
  int64_t offset = 0;   // in the arenas, in elements
  Tensor value;
  Tensor gradient;  // f32; empty for inference
  Tensor bf16;      // empty where the model computes in f32

  /// The copy that a product of this dtype reads.
  const Tensor& as(DType dtype) const { return dtype == DType::bf16 ? bf16 : value; }
};

/// Owns a model's parameters. All values lie in one buffer (so do gradients, bf16 copies and optimiser
/// states), each tensor at a multiple of 64 bytes: the optimiser, the gradient norm, zeroing and reductions
/// are one pass each. Parameters keep their address.
class ParameterStore {
 public:
  /// Declares a parameter; memory comes with allocate(). Names are unique.
  Parameter& add(std::string name, const Shape& shape, ParameterRole role, const Initialiser& initialiser);

  struct Options {
    bool gradients = false;
    bool bf16_copies = false;
    /// Leave values and bf16 copies unset: for parameters that are initialised or loaded at once. Large ones
    /// would be written twice, the first time on one thread.
    bool unset = false;
  };
  /// Values, unless they are unset, and gradients start as zeros; so does the padding between tensors.
  void allocate(Context& context, const Options& options);

  /// Draws all values anew, each parameter's from the Philox stream of its index: they depend only on the
  /// seed and on the order of the parameters. Rewrites the bf16 copies.
  void initialise(Context& context, uint64_t seed);
  /// Rewrites the bf16 copies from the values (the optimiser does so itself). Nothing to do in f32.
  void refresh_bf16(Context& context);
  void zero_gradients();

  std::deque<Parameter>& parameters() { return parameters_; }
  const std::deque<Parameter>& parameters() const { return parameters_; }
  const Parameter* find(std::string_view name) const;
  /// The parameter of this name, which must exist.
  Parameter& get(std::string_view name);
  /// Number of learned values.
  int64_t count() const;

  /// The arenas, with padding between tensors.
  const Tensor& values() const { return values_; }
  const Tensor& gradients() const { return gradients_; }
  const Tensor& bf16_copies() const { return bf16_copies_; }

 private:
  static Tensor slice(const Tensor& arena, const Parameter& parameter);
  void zero_padding() const;
  std::deque<Parameter> parameters_;
  std::map<std::string, size_t, std::less<>> places_;  // of each name in parameters_
  int64_t arena_size_ = 0;
  Tensor values_, gradients_, bf16_copies_;
};

/// Where a part of a model adds its parameters: their names begin with the part's prefix, and all of them are
/// frozen or none.
class ParameterScope {
 public:
  explicit ParameterScope(ParameterStore& store, std::string prefix = "", bool frozen = false)
      : store_(store), prefix_(std::move(prefix)), frozen_(frozen) {}
  /// A part of this part.
  ParameterScope inner(const std::string& prefix) const {
    return ParameterScope(store_, prefix_ + prefix, frozen_);
  }

  Parameter& add(const std::string& name, const Shape& shape, ParameterRole role,
                 const Initialiser& initialiser) const;

 private:
  ParameterStore& store_;
  std::string prefix_;
  bool frozen_;
};

}  // namespace cuclip
