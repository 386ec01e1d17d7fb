#include "core/parameter.h"

#include "kernels/pointwise/pointwise.h"

namespace cuclip {
namespace {
constexpr int64_t kAlignment = 32;  // elements: 64 bytes in bf16, 128 in f32
}

Parameter& ParameterStore::add(std::string name, const Shape& shape, ParameterRole role,
                               const Initialiser& initialiser) {
  CUCLIP_CHECK(places_.emplace(name, parameters_.size()).second, "two parameters are called {}", name);
  Parameter& parameter = parameters_.emplace_back();
  parameter.name = std::move(name);
  parameter.shape = shape;
  parameter.role = role;
  parameter.frozen = role == ParameterRole::statistic;
  parameter.initialiser = initialiser;
  parameter.offset = arena_size_;
  arena_size_ += round_up(shape.elements(), kAlignment);
  return parameter;
}

Tensor ParameterStore::slice(const Tensor& arena, const Parameter& parameter) {
  return arena.part(static_cast<size_t>(parameter.offset) * size_of(arena.dtype()), parameter.shape,
                    arena.dtype());
}

void ParameterStore::allocate(Context& context, const Options& options) {
  values_ = Tensor::empty(context, {arena_size_}, DType::f32);
  if (options.gradients) gradients_ = Tensor::zeros(context, {arena_size_}, DType::f32);
  if (options.bf16_copies) bf16_copies_ = Tensor::empty(context, {arena_size_}, DType::bf16);
  if (options.unset) {
    zero_padding();
  } else {
    values_.set_zero();
    if (bf16_copies_) bf16_copies_.set_zero();
  }
  for (Parameter& parameter : parameters_) {
    parameter.value = slice(values_, parameter);
    if (gradients_) parameter.gradient = slice(gradients_, parameter);
    if (bf16_copies_) parameter.bf16 = slice(bf16_copies_, parameter);
  }
}

void ParameterStore::zero_padding() const {
  for (size_t i = 0; i < parameters_.size(); ++i) {
    const int64_t end = parameters_[i].offset + parameters_[i].shape.elements();
    const int64_t next = i + 1 < parameters_.size() ? parameters_[i + 1].offset : arena_size_;
    if (next > end) values_.rows(end, next - end).set_zero();
  }
}

void ParameterStore::initialise(Context& context, uint64_t seed) {
  uint64_t stream = 0;
  for (const Parameter& parameter : parameters_) {
    parameter.initialiser.fill(context, parameter.value, seed, stream++);
  }
  refresh_bf16(context);
}

void ParameterStore::refresh_bf16(Context& context) {
  if (bf16_copies_) cast({.x = values_, .out = bf16_copies_}, context.exec());
}

void ParameterStore::zero_gradients() {
  if (gradients_) gradients_.set_zero();
}

const Parameter* ParameterStore::find(std::string_view name) const {
  const auto place = places_.find(name);
  return place == places_.end() ? nullptr : &parameters_[place->second];
}

Parameter& ParameterStore::get(std::string_view name) {
  const Parameter* parameter = find(name);
  CUCLIP_CHECK(parameter, "there is no parameter {}", name);
  return const_cast<Parameter&>(*parameter);
}

int64_t ParameterStore::count() const {
  int64_t n = 0;
  for (const Parameter& parameter : parameters_) {
    if (parameter.role != ParameterRole::statistic) n += parameter.shape.elements();
  }
  return n;
}

Parameter& ParameterScope::add(const std::string& name, const Shape& shape, ParameterRole role,
                               const Initialiser& initialiser) const {
  Parameter& parameter = store_.add(prefix_ + name, shape, role, initialiser);
  parameter.frozen = parameter.frozen || frozen_;
  return parameter;
}

}  // namespace cuclip
