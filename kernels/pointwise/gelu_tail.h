// The polynomial that both devices' GELU share (activation-inl.h, activation.cuh).
#pragma once

namespace cuclip {

/// Phi(-|x|) = e^(-x^2/2) t P(t) with t = 1 / (1 + kGeluTailScale |x|): the shape of Abramowitz &
/// Stegun 7.1.26. P has degree 7 and was fitted to the least relative error, 1.2e-7 on [0, 13.3] (beyond it
/// the exponential underflows). In f32 the absolute error of Phi is below 2e-7, and it keeps its relative
/// precision in the lower tail, where 1 + erf would cancel.
inline constexpr float kGeluTailScale = 0.235f;
/// P's coefficients, by power. Scalars, because device code may use no host array.
inline constexpr float kGeluTail7 = -0.06409142911434174f;
inline constexpr float kGeluTail6 = 0.20994727313518524f;
inline constexpr float kGeluTail5 = -0.1453864574432373f;
inline constexpr float kGeluTail4 = 0.1795070916414261f;
inline constexpr float kGeluTail3 = 0.035671938210725784f;
inline constexpr float kGeluTail2 = 0.097918801009655f;
inline constexpr float kGeluTail1 = 0.09262401610612869f;
inline constexpr float kGeluTail0 = 0.09380871802568436f;

}  // namespace cuclip
