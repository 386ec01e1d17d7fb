#include "core/initialiser.h"

#include "kernels/pointwise/pointwise.h"
#include "kernels/random/random.h"

namespace cuclip {

void Initialiser::fill(Context& context, const Tensor& out, uint64_t seed, uint64_t stream) const {
  switch (kind_) {
    case Kind::constant:
      cuclip::fill({.out = out, .value = value_}, context.exec());
      break;
    case Kind::normal:
      fill_normal({.out = out, .stddev = value_, .seed = seed, .stream = stream}, context.exec());
      break;
    case Kind::uniform:
      fill_uniform({.out = out, .low = -value_, .high = value_, .seed = seed, .stream = stream},
                   context.exec());
      break;
  }
}

}  // namespace cuclip
