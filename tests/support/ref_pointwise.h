// float64 references of the pointwise operations.
#pragma once

#include "kernels/pointwise/pointwise.h"

namespace cuclip::test {

double ref_activation(Activation kind, double x);
double ref_activation_derivative(Activation kind, double x);

}  // namespace cuclip::test
