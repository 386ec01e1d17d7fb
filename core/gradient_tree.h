// Sums of gradients whose order does not depend on how many ranks computed them.
//
// A step's pairs are cut into leaves. The gradients of two leaves are added, those of two such pairs are
// added, and so on: a binary tree over the leaves' indices, in which an element-wise sum of f32 has the same
// bits wherever it is computed. A rank that has 2^k leaves in a row computes one node of the tree, and the
// tree over the ranks is the rest of it (docs/distributed.md).
#pragma once

#include <vector>

#include "core/communicator.h"
#include "core/tensor.h"

namespace cuclip {

/// Sums what an arena has held after each leaf.
class GradientTree {
 public:
  /// The arena is f32 and holds zeros; both must outlive the tree.
  GradientTree(Context& context, const Tensor& arena) : context_(context), arena_(arena) {}

  /// The arena holds a leaf's gradients, of the leaf after the last one: takes them and leaves zeros, or, of
  /// the last leaf, leaves the sum of all. Memory: an arena for each level of the tree, log2 of the leaves.
  void add_leaf(bool last);

 private:
  Context& context_;
  Tensor arena_;
  int64_t leaves_ = 0;
  std::vector<Tensor> nodes_;  // complete subtrees to the left, larger ones first
};

/// The arena becomes the sum of all ranks' arenas, in the tree's order over the ranks, with the same bits on
/// each. A rank sums one slice of all arenas and gives it to the others: it sends 2 (W − 1) / W · arena for W
/// ranks, and has another arena's memory while it does. Throws Error where a rank is lost.
void sum_over_ranks(Communicator& ranks, Context& context, const Tensor& arena);

}  // namespace cuclip
