#include "core/rows.h"

#include <catch2/catch.hpp>

#include "tests/support/buffer.h"

using namespace cuclip;

namespace {

Tensor f32(Context& context, const Shape& shape, const std::vector<float>& values) {
  return Tensor::from<float>(context, shape, values);
}

}  // namespace

TEST_CASE("rows are copied to their place, and no others are touched") {
  Context context(1);
  const Tensor to = Tensor::full(context, {4, 2}, 9.0f);
  copy_rows(context, f32(context, {2, 2}, {1, 2, 3, 4}), to, 1);
  CHECK(to.to_floats() == std::vector<float>{9, 9, 1, 2, 3, 4, 9, 9});
  copy_rows(context, f32(context, {0, 2}, {}), to, 4);
  copy_rows(context, f32(context, {1, 2}, {5, 6}), to, 3);
  CHECK(to.to_floats() == std::vector<float>{9, 9, 1, 2, 3, 4, 5, 6});
}

TEST_CASE("rows take the dtype of where they go to") {
  Context context(1);
  const float third = 1.0f / 3.0f;
  const Tensor exact = f32(context, {1, 1, 2}, {third, 2}),
               rounded_once = Tensor::zeros(context, {2, 1, 2}, DType::bf16),
               wide = Tensor::zeros(context, {2, 1, 2}, DType::f32);
  copy_rows(context, exact, rounded_once, 1);
  const float rounded = static_cast<float>(bfloat16(third));
  CHECK(rounded_once.to_floats() == std::vector<float>{0, 0, rounded, 2});
  copy_rows(context, rounded_once, wide, 0);
  CHECK(wide.to_floats() == std::vector<float>{0, 0, rounded, 2});
  const Tensor ids = Tensor::from<int32_t>(context, {1, 1}, std::vector<int32_t>{7});
  const Tensor all = Tensor::from<int32_t>(context, {2, 1}, std::vector<int32_t>{1, 2});
  copy_rows(context, ids, all, 0);
  CHECK((all.data<int32_t>()[0] == 7 && all.data<int32_t>()[1] == 2));
}

TEST_CASE("rows that do not fit are refused") {
  Context context(1);
  const Tensor to = Tensor::zeros(context, {4, 2}, DType::f32);
  CHECK_THROWS_AS(copy_rows(context, Tensor::zeros(context, {2, 2}, DType::f32), to, 3), InputError);
  CHECK_THROWS_AS(copy_rows(context, Tensor::zeros(context, {2, 2}, DType::f32), to, -1), InputError);
  CHECK_THROWS_WITH(copy_rows(context, Tensor::zeros(context, {1, 3}, DType::f32), to, 0),
                    "copy_rows: rows [1, 3] do not fit into a tensor [4, 2]");
  CHECK_THROWS_AS(copy_rows(context, Tensor::zeros(context, {1, 2}, DType::i32), to, 0), InputError);
}

TEST_CASE("parts are joined in their order") {
  Context context(1);
  const Tensor all = concatenate(
      context, {f32(context, {1, 2}, {1, 2}), f32(context, {0, 2}, {}), f32(context, {2, 2}, {3, 4, 5, 6})});
  CHECK(all.shape() == Shape{3, 2});
  CHECK(all.to_floats() == std::vector<float>{1, 2, 3, 4, 5, 6});
  CHECK_THROWS_AS(concatenate(context, {}), InputError);
  CHECK_THROWS_AS(concatenate(context, {all, Tensor::zeros(context, {1, 2}, DType::bf16)}), InputError);
  CHECK_THROWS_AS(concatenate(context, {all, Tensor::zeros(context, {1, 3}, DType::f32)}), InputError);
}
