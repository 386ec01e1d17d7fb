#include "core/rows.h"

#include "kernels/pointwise/pointwise.h"

namespace cuclip {

void copy_rows(Context& context, const Tensor& rows, const Tensor& to, int64_t first) {
  const Tensor place = to.rows(first, rows.size(0));
  CUCLIP_CHECK(rows.shape() == place.shape(), "copy_rows: rows {} do not fit into a tensor {}",
               rows.shape().to_string(), to.shape().to_string());
  if (rows.dtype() != to.dtype()) return cast({.x = rows, .out = place}, context.exec());
  device_copy(context.device(), place.view().data, rows.view().data, rows.bytes(), context.stream());
}

Tensor concatenate(Context& context, const std::vector<Tensor>& parts) {
  CUCLIP_CHECK(!parts.empty(), "concatenate: there is no part");
  Shape shape = parts.front().shape();
  shape[0] = 0;
  for (const Tensor& part : parts) shape[0] += part.size(0);
  const Tensor all = Tensor::empty(context, shape, parts.front().dtype());
  int64_t row = 0;
  for (const Tensor& part : parts) {
    CUCLIP_CHECK(part.dtype() == all.dtype(), "concatenate: a part of {} among parts of {}",
                 name_of(part.dtype()), name_of(all.dtype()));
    copy_rows(context, part, all, row);
    row += part.size(0);
  }
  return all;
}

}  // namespace cuclip
