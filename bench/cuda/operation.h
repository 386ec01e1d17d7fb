// What the CUDA benchmarks measure, and who competes: one operation at one shape, its tensors by name, and
// the contestants that compute it. Everything else (memory, timing, verification, rates) is the same for all
// and follows from what stands here (measure.h).
#pragma once

#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "core/context.h"
#include "core/precision.h"
#include "core/tensor.h"

namespace cuclip::bench {

enum class Fill : uint8_t {
  normal,     // Normal(0, value²): zeros run faster than a model's numbers do
  unit_rows,  // rows of length 1 in random directions
  constant,   // value everywhere
  bytes,      // any of 0 to 255 (u8)
  zeros,      // results, and gradients that are added to
  derived,    // from the others, by Operation::derive
};

struct TensorSpec {
  std::string name;
  Shape shape;
  DType dtype;
  Fill fill = Fill::zeros;
  float value = 1.0f;
  // How often an ideal kernel moves it: 1, read or written; 2, read and written; 0 for what only some
  // contestants need.
  int moved = 1;
};

using Tensors = std::map<std::string, Tensor, std::less<>>;

/// Why a contestant does not compute an operation here. It is reported beside the others' times and is no
/// failure.
class Refusal : public Error {
 public:
  using Error::Error;
};

/// Where contestants prepare and run.
struct Lab {
  Precision precision = Precision::bf16;
  Context* context = nullptr;  // null: plans only (cudnn_device)
  std::string cudnn_device{};  // the properties of a GPU that is not there, as cuDNN's JSON; empty: this one
};

/// Puts one computation on the context's stream: every copy of the operation's tensors can be given.
using Launch = std::function<void(const Tensors&)>;

struct Contestant {
  std::string name;
  /// Throws Refusal. May run on the tensors, to choose among algorithms.
  std::function<Launch(Lab&, const Tensors&)> prepare;
  /// The greatest deviation that is right; 0: the precision's (measure.cpp). With a reason where it differs.
  double limit = 0;
};

/// How far a result is from the float64 reference: the greatest difference in the sample, each over the
/// magnitude of the expected value plus the root mean square of all.
struct Deviation {
  std::string tensor;
  double value;
};

struct Operation {
  std::string name;   // attention_forward
  std::string shape;  // B256_S197_H12_D64
  Precision precision;
  double flop;  // useful: padding and recomputation do not count
  std::vector<TensorSpec> tensors;
  std::function<void(const Tensors&, const ExecContext&)> derive = {};
  std::vector<Contestant> contestants = {};
  std::function<std::vector<Deviation>(const Tensors&)> deviations = {};

  std::string full_name() const { return name + '/' + shape + '/' + std::string(word(precision)); }
  double least_bytes() const {
    double bytes = 0;
    for (const TensorSpec& t : tensors) {
      bytes += static_cast<double>(t.moved) * static_cast<double>(t.shape.elements()) *
               static_cast<double>(size_of(t.dtype));
    }
    return bytes;
  }
};

/// Our own kernels as a contestant.
inline Contestant ours(std::function<void(const Tensors&, const ExecContext&)> run) {
  return {.name = "cuclip", .prepare = [run = std::move(run)](Lab& lab, const Tensors&) -> Launch {
            return [run, &context = *lab.context](const Tensors& t) { run(t, context.exec()); };
          }};
}

}  // namespace cuclip::bench
