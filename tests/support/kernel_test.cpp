#include "tests/support/kernel_test.h"

#include "kernels/common/simd_targets.h"

#include "hwy/targets.h"

namespace cuclip::test {

std::vector<int64_t> simd_targets() {
  std::vector<int64_t> targets;
  for (const int64_t target : {HWY_AVX3, HWY_AVX2, HWY_SSE4}) {
    if ((HWY_TARGETS & target) != 0 && (hwy::SupportedTargets() & target) != 0) targets.push_back(target);
  }
  return targets;
}

std::string simd_target_name(int64_t target) { return hwy::TargetName(target); }

SimdTargetScope::SimdTargetScope(int64_t target) {
  hwy::SetSupportedTargetsForTest(target);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

SimdTargetScope::~SimdTargetScope() {
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

}  // namespace cuclip::test
