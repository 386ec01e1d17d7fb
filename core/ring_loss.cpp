#include "core/ring_loss.h"

#include <algorithm>
#include <array>
#include <deque>
#include <memory>
#include <span>
#include <vector>

#include "kernels/contrastive_loss/contrastive_loss_part.h"
#include "kernels/pointwise/pointwise.h"

namespace cuclip {
namespace {

// `count` elements from `first` on, as a vector; of a missing tensor none.
Tensor elements(const Tensor& x, int64_t first, int64_t count) {
  return x.part(static_cast<size_t>(first) * size_of(x.dtype()), {count}, x.dtype());
}
Tensor rows(const Tensor& x, int64_t first, int64_t count) { return x ? x.rows(first, count) : Tensor(); }

// f64 on the context's device.
class Doubles {
 public:
  Doubles(Context& context, int64_t count) : bytes_(Tensor::zeros(context, {8 * count}, DType::u8)) {}
  std::span<double> part(int64_t first, int64_t count) const {
    return {reinterpret_cast<double*>(bytes_.view().data) + first, static_cast<size_t>(count)};
  }
  std::span<double> all() const { return part(0, bytes_.elements() / 8); }
  Tensor bytes(int64_t first, int64_t count) const { return elements(bytes_, 8 * first, 8 * count); }

 private:
  Tensor bytes_;
};

// What every step of a call needs to know.
struct Ring {
  Ring(Communicator& ranks, Context& context, const RingLossInput& in)
      : ranks(ranks),
        context(context),
        in(in),
        size(ranks.size()),
        rank(ranks.rank()),
        leaves(in.leaves),
        own_leaves(in.leaves / size),
        pairs(in.image.size(0)),
        leaf(pairs / own_leaves),
        first_leaf(rank * own_leaves) {}

  int block(int64_t step) const { return static_cast<int>((rank + step) % size); }
  int left() const { return block(size - 1); }
  int right() const { return block(1); }
  // Of row 0 of own leaf `l`, in chunk `c` of the block at this step.
  int64_t label_offset(int64_t step, int64_t l, int64_t c) const {
    return (first_leaf + l - block(step) * own_leaves - c) * leaf;
  }
  Tensor leaf_of(const Tensor& x, int64_t l) const { return rows(x, l * leaf, leaf); }
  Tensor empty(const Shape& shape, DType dtype = DType::f32) const {
    return Tensor::empty(context, shape, dtype);
  }
  std::unique_ptr<Exchange> exchange(std::span<const Message> sends,
                                     std::span<const Message> receives) const {
    return ranks.exchange(sends, receives);
  }
  // All ranks' rows of x [W, ...] on all of them; each has its own there already.
  void share(const std::vector<Tensor>& all) const {
    std::vector<Message> sends, receives;
    for (int other = 0; other < size; ++other) {
      if (other == rank) continue;
      for (const Tensor& x : all) {
        sends.push_back({other, x.rows(rank, 1)});
        receives.push_back({other, x.rows(other, 1)});
      }
    }
    exchange(sends, receives)->wait();
  }

  Communicator& ranks;
  Context& context;
  const RingLossInput& in;
  int size, rank;
  int64_t leaves, own_leaves, pairs, leaf, first_leaf;
};

// The block of texts that is here, with its words, while the next one comes.
class Texts {
 public:
  explicit Texts(const Ring& ring) : ring_(ring) {
    for (int i = 0; i < std::min(ring.size - 1, 2); ++i) {
      received_[i].text = ring.empty(ring.in.text.shape(), ring.in.text.dtype());
      if (ring.in.words) received_[i].words = ring.empty(ring.in.words.shape(), DType::i32);
    }
  }

  // From the own block on; step 0.
  void restart() {
    step_ = 0;
    here_ = {ring_.in.text, ring_.in.words};
  }
  Tensor text(int64_t c) const { return ring_.leaf_of(here_.text, c); }
  Tensor words(int64_t c) const { return ring_.leaf_of(here_.words, c); }

  void begin_next() {
    if (step_ + 1 == ring_.size) return;
    const Block& next = received_[step_ % 2];
    std::vector<Message> sends{{ring_.left(), here_.text}}, receives{{ring_.right(), next.text}};
    if (here_.words) {
      sends.push_back({ring_.left(), here_.words});
      receives.push_back({ring_.right(), next.words});
    }
    coming_ = ring_.exchange(sends, receives);
  }
  void wait_next() {
    if (step_ + 1 == ring_.size) return;
    coming_->wait();
    here_ = received_[step_ % 2];
    step_++;
  }

 private:
  struct Block {
    Tensor text, words;
  };
  const Ring& ring_;
  int step_ = 0;
  Block here_;
  std::array<Block, 2> received_;  // at even steps, and at odd ones
  std::unique_ptr<Exchange> coming_;
};

// What the backward pass needs of the forward pass.
struct Forward {
  Tensor loss;
  Tensor row_lse;     // [n]
  Tensor column_lse;  // [W, n]
};

// Statistics of all columns: of the own block by all leaves, of others by the own leaves.
struct ColumnStatistics {
  explicit ColumnStatistics(const Ring& ring)
      : max(ring.empty({ring.leaves, ring.pairs})),
        sum(ring.empty({ring.leaves, ring.pairs})),
        sent_max(ring.empty({(ring.size - 1) * ring.own_leaves, ring.pairs})),
        sent_sum(ring.empty({(ring.size - 1) * ring.own_leaves, ring.pairs})),
        ring(ring) {}

  Tensor part(const Tensor& own, const Tensor& sent, int64_t step, int64_t l, int64_t c) const {
    const int64_t row = (step == 0 ? ring.first_leaf : (step - 1) * ring.own_leaves) + l;
    return elements(step == 0 ? own : sent, row * ring.pairs + c * ring.leaf, ring.leaf);
  }
  void send_to_owners() const {
    std::vector<Message> sends, receives;
    for (int64_t step = 1; step < ring.size; ++step) {
      const int owner = ring.block(step);
      for (const Tensor& x : {sent_max, sent_sum}) {
        sends.push_back({owner, x.rows((step - 1) * ring.own_leaves, ring.own_leaves)});
      }
      for (const Tensor& x : {max, sum}) {
        receives.push_back({owner, x.rows(owner * ring.own_leaves, ring.own_leaves)});
      }
    }
    ring.exchange(sends, receives)->wait();
  }

  Tensor max, sum;            // [L, n]
  Tensor sent_max, sent_sum;  // [(W − 1) m, n], from the block of step 1 on
  const Ring& ring;
};

Forward forward(const Ring& ring, Texts& texts) {
  const int64_t m = ring.own_leaves, n = ring.pairs;
  const Tensor row_max = ring.empty({ring.leaves, n}), row_sum = ring.empty({ring.leaves, n});
  const Tensor positive = ring.empty({n});
  const ColumnStatistics columns(ring);
  texts.restart();
  for (int64_t step = 0; step < ring.size; ++step) {
    texts.begin_next();
    for (int64_t c = 0; c < m; ++c) {
      for (int64_t l = 0; l < m; ++l) {
        const int64_t row = (ring.block(step) * m + c) * n + l * ring.leaf;
        contrastive_loss_part_forward({.image = ring.leaf_of(ring.in.image, l),
                                       .text = texts.text(c),
                                       .log_scale = ring.in.log_scale,
                                       .label_offset = ring.label_offset(step, l, c),
                                       .image_words = ring.leaf_of(ring.in.words, l),
                                       .text_words = texts.words(c),
                                       .row_max = elements(row_max, row, ring.leaf),
                                       .row_sum = elements(row_sum, row, ring.leaf),
                                       .column_max = columns.part(columns.max, columns.sent_max, step, l, c),
                                       .column_sum = columns.part(columns.sum, columns.sent_sum, step, l, c),
                                       .positive = ring.leaf_of(positive, l)},
                                      ring.context.exec());
      }
    }
    texts.wait_next();
  }
  columns.send_to_owners();

  Forward out{.loss = ring.empty({1}), .row_lse = ring.empty({n}), .column_lse = ring.empty({ring.size, n})};
  const Doubles losses(ring.context, 2 * ring.leaves);  // of the leaves' rows, then of the chunks' columns
  const int64_t first = ring.first_leaf;
  contrastive_loss_merge({.max = row_max,
                          .sum = row_sum,
                          .positive = positive,
                          .lse = out.row_lse,
                          .losses = losses.part(first, m)},
                         ring.context.exec());
  contrastive_loss_merge({.max = columns.max,
                          .sum = columns.sum,
                          .positive = positive,
                          .lse = out.column_lse.rows(ring.rank, 1).reshaped({n}),
                          .losses = losses.part(ring.leaves + first, m)},
                         ring.context.exec());
  ring.share({out.column_lse, losses.bytes(0, ring.leaves).reshaped({ring.size, 8 * m}),
              losses.bytes(ring.leaves, ring.leaves).reshaped({ring.size, 8 * m})});
  const double all_pairs = static_cast<double>(ring.size) * static_cast<double>(n);
  contrastive_loss_total({.terms = losses.all(), .factor = 0.5 / all_pairs, .total = out.loss},
                         ring.context.exec());
  return out;
}

// Sums of gradients in f32 as the features' dtype.
Tensor rounded(const Ring& ring, const Tensor& sums) {
  if (!sums || sums.dtype() == ring.in.text.dtype()) return sums;
  Tensor result = ring.empty(sums.shape(), ring.in.text.dtype());
  cast({.x = sums, .out = result}, ring.context.exec());
  return result;
}

class Backward {
 public:
  Backward(const Ring& ring, Texts& texts, const Forward& forward)
      : ring_(ring),
        texts_(texts),
        forward_(forward),
        one_(Tensor::full(ring.context, {1}, 1.0f)),
        logit_sums_(ring.context, ring.leaves) {
    if (ring.in.image_gradient) dimage_ = Tensor::zeros(ring.context, ring.in.image.shape(), DType::f32);
    dtext_[0] = Tensor::zeros(ring.context, ring.in.text.shape(), DType::f32);
    if (ring.size > 1) dtext_[1] = ring.empty(ring.in.text.shape());
  }

  void run(RingLossResult& result) {
    const int64_t m = ring_.own_leaves;
    texts_.restart();
    for (int64_t step = 0; step < ring_.size; ++step) {
      texts_.begin_next();
      for (int64_t c = 0; c < m; ++c) {
        if (step > 0) wait_sums();
        for (int64_t l = step == 0 ? c : m - 1; l >= 0; --l) add_part(step, l, c);
        begin_sums(step, c);
      }
      texts_.wait_next();
    }
    texts_.restart();
    for (int64_t c = 0; c < m; ++c) {
      wait_sums();
      for (int64_t l = m - 1; l > c; --l) add_part(ring_.size, l, c);
    }
    ring_.share({logit_sums_.bytes(0, ring_.leaves).reshaped({ring_.size, 8 * m})});
    result.log_scale_gradient = ring_.empty({1});
    contrastive_loss_total({.terms = logit_sums_.all(), .total = result.log_scale_gradient},
                           ring_.context.exec());
    result.image_gradient = rounded(ring_, dimage_);
    result.text_gradient = rounded(ring_, sums_at(ring_.size));
  }

 private:
  // Of the texts' gradients that are here at this step. The last, at home, is step W.
  const Tensor& sums_at(int64_t step) const { return dtext_[ring_.size == 1 ? 0 : step % 2]; }

  // A chunk's sums go on to the next rank, and those of the block that follows come; each chunk alone, so
  // that they travel while others are computed.
  void begin_sums(int64_t step, int64_t c) {
    if (ring_.size == 1) return;
    const Message send{ring_.left(), ring_.leaf_of(sums_at(step), c)};
    const Message receive{ring_.right(), ring_.leaf_of(sums_at(step + 1), c)};
    coming_.push_back(ring_.exchange({&send, 1}, {&receive, 1}));
  }
  void wait_sums() {
    if (ring_.size == 1) return;
    coming_.front()->wait();
    coming_.pop_front();
  }

  void add_part(int64_t step, int64_t l, int64_t c) {
    const int64_t column = ring_.block(step) * ring_.pairs + c * ring_.leaf;
    contrastive_loss_part_backward({.image = ring_.leaf_of(ring_.in.image, l),
                                    .text = texts_.text(c),
                                    .log_scale = ring_.in.log_scale,
                                    .label_offset = ring_.label_offset(step, l, c),
                                    .image_words = ring_.leaf_of(ring_.in.words, l),
                                    .text_words = texts_.words(c),
                                    .row_lse = ring_.leaf_of(forward_.row_lse, l),
                                    .column_lse = elements(forward_.column_lse, column, ring_.leaf),
                                    .dloss = one_,
                                    .pairs = ring_.size * ring_.pairs,
                                    .dimage = ring_.leaf_of(dimage_, l),
                                    .dtext = ring_.leaf_of(sums_at(step), c),
                                    .logit_sum = logit_sums_.part(ring_.first_leaf + l, 1)},
                                   ring_.context.exec());
  }

  const Ring& ring_;
  Texts& texts_;
  const Forward& forward_;
  Tensor one_;
  Doubles logit_sums_;  // of each leaf
  Tensor dimage_;
  std::array<Tensor, 2> dtext_;  // at even steps, and at odd ones
  std::deque<std::unique_ptr<Exchange>> coming_;
};

void check(const Communicator& ranks, Context& context, const RingLossInput& in) {
  CUCLIP_CHECK(in.image.shape().rank() == 2 && in.image.size(0) >= 1,
               "ring_loss: image must be [pairs, D], at least one pair, got {}",
               in.image.shape().to_string());
  check_tensor("ring_loss: text", in.text, in.image.dtype(), in.image.shape());
  check_tensor("ring_loss: log_scale", in.log_scale, DType::f32, {1});
  const int64_t pairs = in.image.size(0), size = ranks.size();
  if (in.words) check_tensor("ring_loss: words", in.words, DType::i32, {pairs, 4});
  CUCLIP_CHECK(in.leaves >= 1 && in.leaves % size == 0,
               "ring_loss: {} leaves cannot be shared by {} ranks alike; choose a multiple of {}", in.leaves,
               size, size);
  CUCLIP_CHECK(pairs % (in.leaves / size) == 0,
               "ring_loss: {} pairs of a rank cannot be cut into {} leaves alike", pairs, in.leaves / size);
  CUCLIP_CHECK(size == 1 || context.device() == Device::cpu,
               "ring_loss: {} ranks exchange memory of device cpu, the context is on {}", size,
               name_of(context.device()));
}

}  // namespace

RingLossResult ring_loss(Communicator& ranks, Context& context, const RingLossInput& input) {
  check(ranks, context, input);
  const Ring ring(ranks, context, input);
  Texts texts(ring);
  const Forward values = forward(ring, texts);
  RingLossResult result;
  result.loss = values.loss;
  Backward(ring, texts, values).run(result);
  return result;
}

}  // namespace cuclip
