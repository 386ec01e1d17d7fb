// Rows are copied on the device, in the stream's order: nothing goes through the host or waits for it.
#include "core/rows.h"

#include <catch2/catch.hpp>

#include "tests/support/kernel_test.h"

using namespace cuclip;

TEST_CASE("copying rows can be recorded: it neither reads the device nor waits for it") {
  CUCLIP_NEEDS_CUDA();
  Context context(1, Device::cuda);
  const DType dtype = GENERATE(DType::f32, DType::bf16);
  const Tensor to = Tensor::zeros(context, {4, 3}, DType::f32);
  const Tensor rows = Tensor::empty(context, {2, 3}, dtype);
  const Tensor values = Tensor::from<float>(context, {2, 3}, std::vector<float>{1, 2, 3, 4, 5, 6});
  const RecordedWork recorded(context.stream(), [&] { copy_rows(context, rows, to, 1); });
  CHECK(to.to_floats() == std::vector<float>(12, 0.0f));
  copy_rows(context, values, rows, 0);  // after the recording: its launch must read what is there then
  recorded.launch(context.stream());
  CHECK(to.to_floats() == std::vector<float>{0, 0, 0, 1, 2, 3, 4, 5, 6, 0, 0, 0});
}
