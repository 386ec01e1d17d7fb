#include "kernels/conv2d/convolution.h"

#include <algorithm>

#include "kernels/common/check.h"
#include "kernels/tiles/one_dnn.h"

namespace cuclip {
namespace {

using Description = dnnl::memory::desc;

const dnnl::engine& engine() {
  static const dnnl::engine shared(dnnl::engine::kind::cpu, 0);
  return shared;
}

dnnl::stream& stream() {
  thread_local dnnl::stream own(engine());
  return own;
}

// Calls body() as oneDNN has to be called; what it throws becomes an Error.
template <typename Body>
auto with_one_dnn(Body&& body) {
  const OneDnnScope scope;
  try {
    return body();
  } catch (const dnnl::error& e) {
    fail("conv2d: oneDNN: {}", e.what());
  }
}

// What makes a primitive: in oneDNN's order of dimensions, whatever the memory's.
struct Setup {
  Setup(const ConvolutionSpec& spec, const Part& part)
      : x({part.pictures, spec.shape.channels, part.height, spec.shape.width}, to_dnnl(spec.dtype),
          dnnl::memory::format_tag::nhwc),
        y({part.pictures, spec.shape.outputs, part.out_height, spec.shape.out_width},
          to_dnnl(spec.pass == ConvolutionPass::forward ? spec.out : spec.dtype),
          dnnl::memory::format_tag::nhwc),
        weight(weight_of(spec, dnnl::memory::format_tag::any)),
        forward_weight(weight_of(spec.shape, spec.dtype, dnnl::memory::format_tag::any)),
        steps{spec.shape.stride, spec.shape.stride},
        before{part.top, spec.shape.padding},
        after{part.bottom, spec.shape.padding} {
    attributes.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  }

  static Description weight_of(const Conv2dShape& s, DType dtype, dnnl::memory::format_tag tag) {
    return Description({s.outputs, s.channels, s.kernel, s.kernel}, to_dnnl(dtype), tag);
  }
  // Of the pass: a weight's gradient is f32.
  static Description weight_of(const ConvolutionSpec& spec, dnnl::memory::format_tag tag) {
    return weight_of(spec.shape, spec.pass == ConvolutionPass::weights ? DType::f32 : spec.dtype, tag);
  }

  Description x, y, weight, forward_weight;
  dnnl::memory::dims steps, before, after;
  dnnl::primitive_attr attributes;
};

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

#if DNNL_VERSION_MAJOR < 3
dnnl::convolution_forward::primitive_desc forward_of(const Setup& s, const Description& weight) {
  return {{dnnl::prop_kind::forward_training, kDirect, s.x, weight, s.y, s.steps, s.before, s.after},
          s.attributes,
          engine()};
}
template <typename Pass>
typename Pass::primitive_desc backward_of(const Setup& s) {
  const auto hint = forward_of(s, s.forward_weight);
  return {{kDirect, s.x, s.weight, s.y, s.steps, s.before, s.after}, s.attributes, engine(), hint};
}
#else
dnnl::convolution_forward::primitive_desc forward_of(const Setup& s, const Description& weight) {
  return {
      engine(),    dnnl::prop_kind::forward_training, kDirect, s.x, weight, s.y, s.steps, s.before, s.after,
      s.attributes};
}
template <typename Pass>
typename Pass::primitive_desc backward_of(const Setup& s) {
  const auto hint = forward_of(s, s.forward_weight);
  return {engine(), kDirect, s.x, s.weight, s.y, s.steps, s.before, s.after, hint, s.attributes};
}
#endif

// A weight is brought into order in pieces of about so many elements, of so many of Cout or a multiple.
constexpr int64_t kPieceWeights = 1 << 17;
constexpr int64_t kPieceOutputs = 64;

// [Cout, K, K, Cin], or a part of Cin.
Description plain_weight_of(const ConvolutionSpec& spec) {
  const Conv2dShape& s = spec.shape;
  const bool gradient = spec.pass == ConvolutionPass::weights;
  const int64_t tap = gradient || spec.weight_channels == 0 ? s.channels : spec.weight_channels;
  return Description({s.outputs, s.channels, s.kernel, s.kernel}, to_dnnl(gradient ? DType::f32 : spec.dtype),
                     dnnl::memory::dims{s.kernel * s.kernel * tap, 1, s.kernel * tap, tap});
}

using Cache = PrimitiveCache<21, Convolution>;

Cache::Key key_of(const ConvolutionSpec& spec) {
  const Conv2dShape& s = spec.shape;
  const Part &part = spec.part, &like = spec.like;
  return {static_cast<int64_t>(spec.pass),
          static_cast<int64_t>(spec.dtype),
          static_cast<int64_t>(spec.out),
          part.pictures,
          part.height,
          part.out_height,
          part.top,
          part.bottom,
          like.pictures,
          like.height,
          like.out_height,
          like.top,
          like.bottom,
          s.width,
          s.channels,
          s.outputs,
          s.kernel,
          s.stride,
          s.padding,
          s.out_width,
          spec.weight_channels};
}

}  // namespace

std::shared_ptr<PackedWeight> make_packed_weight() { return std::make_shared<PackedWeight>(); }

const void* PackedWeight::find(const Description& order) const {
  for (const Copy* copy = newest.load(std::memory_order_acquire); copy; copy = copy->next.get()) {
    if (copy->order == order) return copy->weight;
  }
  return nullptr;
}

const void* PackedWeight::add(std::unique_ptr<Copy> copy) {
  Copy* const added = copy.release();
  Copy* before = newest.load(std::memory_order_relaxed);
  do {
    (void)added->next.release();  // it is the list's until the exchange succeeds
    added->next.reset(before);
  } while (!newest.compare_exchange_weak(before, added, std::memory_order_acq_rel));
  return added->weight;
}

Convolution Convolution::find(const ConvolutionSpec& spec) {
  thread_local Cache cache;
  return with_one_dnn([&] { return cache.find(key_of(spec), [&] { return Convolution(spec); }); });
}

Convolution::Convolution(const ConvolutionSpec& spec) : pass_(spec.pass) {
  Setup setup(spec, spec.like);
  const auto take = [&](auto describe, auto weight_of, auto type) {
    weight_ = weight_of(describe(setup));
    setup = Setup(spec, spec.part);
    setup.weight = weight_;
    const auto description = describe(setup);
    scratchpad_ = description.scratchpad_desc();
    primitive_ = typename decltype(type)::type(description);
  };
  const auto weights = [](const auto& d) { return d.weights_desc(); };
  switch (pass_) {
    case ConvolutionPass::forward:
      take([](const Setup& s) { return forward_of(s, s.weight); }, weights,
           std::type_identity<dnnl::convolution_forward>());
      break;
    case ConvolutionPass::data:
      take(backward_of<dnnl::convolution_backward_data>, weights,
           std::type_identity<dnnl::convolution_backward_data>());
      break;
    case ConvolutionPass::weights:
      take(
          backward_of<dnnl::convolution_backward_weights>,
          [](const auto& d) { return d.diff_weights_desc(); },
          std::type_identity<dnnl::convolution_backward_weights>());
      break;
  }
  x_ = setup.x;
  y_ = setup.y;
  make_pieces(spec);
}

void Convolution::make_pieces(const ConvolutionSpec& spec) {
  const Conv2dShape& s = spec.shape;
  const Description plain = plain_weight_of(spec);
  if (pass_ == ConvolutionPass::weights) {
    dnnl::post_ops sum;
    sum.append_sum(1.0f);
    dnnl::primitive_attr adding;
    adding.set_post_ops(sum);
    pieces_.push_back({plain, weight_, dnnl::reorder({engine(), weight_, engine(), plain, adding})});
    return;
  }
  int64_t each = round_up(ceil_div(s.outputs, ceil_div(s.weights(), kPieceWeights)), kPieceOutputs);
  const auto piece_of = [&](const Description& whole, int64_t first) {
    const dnnl::memory::dims size{std::min(each, s.outputs - first), s.channels, s.kernel, s.kernel};
    return whole.submemory_desc(size, {first, 0, 0, 0}, /*allow_empty=*/true);
  };
  // Whole, where oneDNN's order has blocks of Cout that pieces would cut through.
  if (each >= s.outputs || piece_of(weight_, each).is_zero()) each = s.outputs;
  for (int64_t first = 0; first < s.outputs; first += each) {
    const Description from = piece_of(plain, first), to = piece_of(weight_, first);
    pieces_.push_back({from, to, dnnl::reorder({engine(), from, engine(), to})});
  }
}

void Convolution::pack_weight(const void* weight, void* packed, int64_t piece) const {
  const Piece& p = pieces_[static_cast<size_t>(piece)];
  with_one_dnn([&] {
    p.reorder.execute(stream(), {{DNNL_ARG_FROM, wrap(p.plain, engine(), weight)},
                                 {DNNL_ARG_TO, wrap(p.packed, engine(), packed)}});
  });
}

void Convolution::add_packed(const float* packed, float* dweight) const {
  const Piece& p = pieces_.front();
  with_one_dnn([&] {
    p.reorder.execute(stream(), {{DNNL_ARG_FROM, wrap(p.packed, engine(), packed)},
                                 {DNNL_ARG_TO, wrap(p.plain, engine(), dweight)}});
  });
}

void Convolution::run(const void* x, const void* weight, const void* y, void* scratchpad) const {
  const bool forward = pass_ == ConvolutionPass::forward, weights = pass_ == ConvolutionPass::weights;
  with_one_dnn([&] {
    const std::unordered_map<int, dnnl::memory> arguments{
        {pass_ == ConvolutionPass::data ? DNNL_ARG_DIFF_SRC : DNNL_ARG_SRC, wrap(x_, engine(), x)},
        {weights ? DNNL_ARG_DIFF_WEIGHTS : DNNL_ARG_WEIGHTS, wrap(weight_, engine(), weight)},
        {forward ? DNNL_ARG_DST : DNNL_ARG_DIFF_DST, wrap(y_, engine(), y)},
        {DNNL_ARG_SCRATCHPAD, wrap(scratchpad_, engine(), scratchpad)}};
    primitive_.execute(stream(), arguments);
  });
}

}  // namespace cuclip
