// What a tool sees of a training step through NVTX. This program is its own tool: NVTX calls the function
// that InitializeInjectionNvtx2_fnptr points to when the first range is made.
#include "kernels/common/profiler.h"

#include <catch2/catch.hpp>
#include <string>
#include <vector>

#include "tests/support/kernel_test.h"
#include "tests/support/random_pairs.h"
#include "tests/support/tiny_model.h"
#include "train/loop/train_step.h"

#if __has_include(<nvtx3/nvToolsExt.h>)

#define NVTX_NO_IMPL  // its types only
#include <nvtx3/nvToolsExt.h>

namespace {

std::vector<std::string> g_seen;  // ranges, each after those that it is inside of: "a/b"
std::vector<std::string> g_open;

int push(const char* name) {
  g_open.push_back(g_open.empty() ? name : g_open.back() + "/" + name);
  g_seen.push_back(g_open.back());
  return static_cast<int>(g_open.size()) - 1;
}

int pop() {
  g_open.pop_back();
  return static_cast<int>(g_open.size());
}

int attach(NvtxGetExportTableFunc_t exports) {
  const auto* callbacks = static_cast<const NvtxExportTableCallbacks*>(exports(NVTX_ETID_CALLBACKS));
  NvtxFunctionTable table = nullptr;
  unsigned size = 0;
  if (!callbacks->GetModuleFunctionTable(NVTX_CB_MODULE_CORE, &table, &size)) return 0;
  *table[NVTX_CBID_CORE_RangePushA] = reinterpret_cast<NvtxFunctionPointer>(push);
  *table[NVTX_CBID_CORE_RangePop] = reinterpret_cast<NvtxFunctionPointer>(pop);
  return 1;
}

}  // namespace

extern "C" NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr;
NvtxInitializeInjectionNvtxFunc_t InitializeInjectionNvtx2_fnptr = attach;

using namespace cuclip;

TEST_CASE("a tool that reads NVTX sees a training step's phases and their operations") {
  Context context(1, test::test_device());
  ClipModel model(context, test::tiny_config(), {.training = true});
  test::randomise(model);
  Optimizer optimizer(context, model.parameters(), {});
  const MicroBatch batch{test::random_images(context.host(), model.config(), 4),
                         test::random_tokens(context.host(), model.config(), 4)};
  g_seen.clear();
  TrainStep(model, optimizer).run(std::span(&batch, 1), 1e-3f);
  CHECK(g_open.empty());
  REQUIRE_FALSE(g_seen.empty());
  CHECK(g_seen.front() == "training step");
  using Catch::VectorContains;
  for (const char* range : {"training step/encode image", "training step/encode image/patch_embed_forward",
                            "training step/encode text/gemm", "training step/loss/contrastive_loss_forward",
                            "training step/backward", "training step/backward/gemm_weight_gradient"})
    CHECK_THAT(g_seen, VectorContains(std::string(range)));
}

#endif
