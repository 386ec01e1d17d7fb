// Rows of similarities, a few at a time: what every measure that ranks all candidates is made of.
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "core/context.h"
#include "core/tensor.h"

namespace cuclip {

/// Calls work(i, row) once for each row i of `queries` [N, E]; row[j] is its cosine similarity to row j of
/// `candidates` [M, E], of the same dtype. work is called on the context's threads, several rows at a time.
/// At most 4 MiB of similarities are held, or one row where that is longer. `poll`, if there is one, is
/// called before each block of rows; what it throws ends the work.
void for_each_score_row(Context& context, const Tensor& queries, const Tensor& candidates,
                        const std::function<void(int64_t, std::span<const float>)>& work,
                        const std::function<void()>& poll = {});

}  // namespace cuclip
