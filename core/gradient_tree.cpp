#include "core/gradient_tree.h"

#include <algorithm>

#include "kernels/pointwise/pointwise.h"

namespace cuclip {
namespace {

// a += b, whose elements have the same bits in either order.
void add_to(Context& context, const Tensor& a, const Tensor& b) {
  add({.a = a, .b = b, .out = a}, context.exec());
}

// Adds up the parts in the order of a binary tree over their indices; the sum is the first part.
void add_in_tree_order(Context& context, const std::vector<Tensor>& parts) {
  for (size_t step = 1; step < parts.size(); step *= 2) {
    for (size_t left = 0; left + step < parts.size(); left += 2 * step) {
      add_to(context, parts[left], parts[left + step]);
    }
  }
}

}  // namespace

void GradientTree::add_leaf(bool last) {
  for (int64_t bit = 1; (leaves_ & bit) != 0; bit *= 2) {
    add_to(context_, arena_, nodes_.back());
    nodes_.pop_back();
  }
  leaves_++;
  if (last) {
    for (; !nodes_.empty(); nodes_.pop_back()) add_to(context_, arena_, nodes_.back());
    return;
  }
  const Tensor node = Tensor::empty(context_, arena_.shape(), DType::f32);
  device_copy(context_.device(), node.view().data, arena_.view().data, arena_.bytes(), context_.stream());
  nodes_.push_back(node);
  arena_.set_zero();
}

void sum_over_ranks(Communicator& ranks, Context& context, const Tensor& arena) {
  if (ranks.size() == 1) return;
  // A cache line's multiple: slices of two ranks share none.
  const int64_t elements = arena.elements(), slice = round_up(ceil_div(elements, ranks.size()), 16);
  const Tensor flat = arena.reshaped({elements});
  const auto slice_of = [&](int rank) {
    const int64_t first = std::min(rank * slice, elements);
    return flat.rows(first, std::min(slice, elements - first));
  };
  const Tensor own = slice_of(ranks.rank());
  std::vector<Message> sends, receives;
  std::vector<Tensor> parts;
  for (int rank = 0; rank < ranks.size(); ++rank) {
    if (rank == ranks.rank()) {
      parts.push_back(own);
      continue;
    }
    parts.push_back(Tensor::empty(context, own.shape(), DType::f32));
    sends.push_back({rank, slice_of(rank)});
    receives.push_back({rank, parts.back()});
  }
  ranks.exchange(sends, receives)->wait();
  if (own.elements() > 0) {
    add_in_tree_order(context, parts);
    if (ranks.rank() > 0) {
      device_copy(context.device(), own.view().data, parts[0].view().data, own.bytes(), context.stream());
    }
  }
  sends.clear();
  receives.clear();
  for (int rank = 0; rank < ranks.size(); ++rank) {
    if (rank == ranks.rank()) continue;
    sends.push_back({rank, own});
    receives.push_back({rank, slice_of(rank)});
  }
  ranks.exchange(sends, receives)->wait();
}

}  // namespace cuclip
