#include "bench/cuda/measure.h"

#include <algorithm>
#include <cmath>
#include <random>

#include "bench/cuda/lt_product.h"
#include "bench/cuda/naive.h"
#include "bench/cuda/timing.h"
#include "kernels/common/cuda_check.cuh"
#include "kernels/common/stream.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/random/random.h"
#include "kernels/similarity/similarity.h"

namespace cuclip::bench {
namespace {

constexpr double kCachesToOutgrow = 3;  // times the L2 cache's size, by all copies together
constexpr int64_t kMostCopies = 64;
constexpr int64_t kMostLaunches = 512;

Tensor random_normal(Context& context, const Shape& shape, DType dtype, float deviation, uint64_t stream) {
  const Tensor x = Tensor::empty(context, shape, DType::f32);
  fill_normal({.out = x, .stddev = deviation, .seed = 1, .stream = stream}, context.exec());
  if (dtype == DType::f32) return x;
  const Tensor narrow = Tensor::empty(context, shape, dtype);
  cast({.x = x, .out = narrow}, context.exec());
  return narrow;
}

Tensor make(Context& context, const TensorSpec& spec, uint64_t stream) {
  switch (spec.fill) {
    case Fill::normal:
      return random_normal(context, spec.shape, spec.dtype, spec.value, stream);
    case Fill::unit_rows: {
      const Tensor x = random_normal(context, spec.shape, spec.dtype, 1.0f, stream);
      const Tensor rnorm = Tensor::empty(context, {spec.shape[0]}, DType::f32);
      l2_normalize_forward({.x = x, .y = x, .rnorm = rnorm}, context.exec());
      return x;
    }
    case Fill::constant:
      return Tensor::full(context, spec.shape, spec.value);
    case Fill::bytes: {
      std::vector<uint8_t> bytes(static_cast<size_t>(spec.shape.elements()));
      std::mt19937_64 random(stream);
      for (uint8_t& byte : bytes) byte = static_cast<uint8_t>(random());
      return Tensor::from<uint8_t>(context, spec.shape, bytes);
    }
    case Fill::zeros:
    case Fill::derived:
      return Tensor::zeros(context, spec.shape, spec.dtype);
  }
  return {};
}

Tensors make_tensors(Context& context, const Operation& operation, uint64_t copy) {
  Tensors tensors;
  uint64_t stream = copy << 8;
  for (const TensorSpec& spec : operation.tensors) tensors[spec.name] = make(context, spec, stream++);
  if (operation.derive) operation.derive(tensors, context.exec());
  device_synchronize(Device::cuda, context.stream());
  return tensors;
}

int64_t copies_of(const Operation& operation) {
  int device = 0, cache = 0;
  CUCLIP_CUDA_CHECK(cudaGetDevice(&device));
  CUCLIP_CUDA_CHECK(cudaDeviceGetAttribute(&cache, cudaDevAttrL2CacheSize, device));
  const double copies = std::ceil(kCachesToOutgrow * cache / operation.least_bytes());
  return std::clamp<int64_t>(static_cast<int64_t>(copies), 1, kMostCopies);
}

/// Computes it once on fresh results and compares with the reference.
Measurement verify(Context& context, const Operation& operation, const Contestant& contestant,
                   const Launch& launch, const Tensors& tensors, int64_t serial) {
  for (const TensorSpec& spec : operation.tensors) {
    if (spec.fill == Fill::zeros) tensors.at(spec.name).set_zero();
  }
  if (serial > 0) naive::mark(2 * serial, context.exec());
  launch(tensors);
  if (serial > 0) naive::mark(2 * serial + 1, context.exec());
  device_synchronize(Device::cuda, context.stream());
  Measurement m;
  m.limit = std::max(contestant.limit, limit_of(operation.precision));
  for (const Deviation& each : operation.deviations(tensors)) {
    if (m.worst.tensor.empty() || !(each.value <= m.worst.value)) m.worst = each;
  }
  if (!(m.worst.value <= m.limit)) {
    throw Failure(fmt::format("{} is wrong: it deviates by {:.2g}, expected at most {:.2g}", m.worst.tensor,
                              m.worst.value, m.limit));
  }
  return m;
}

double quantile(const std::vector<double>& sorted, double share) {
  return sorted[static_cast<size_t>(std::lround(share * static_cast<double>(sorted.size() - 1)))];
}

}  // namespace

double limit_of(Precision precision) {
  switch (precision) {
    case Precision::bf16:
      return 0.04;  // ten roundings; compositions round what they keep in memory, too
    case Precision::tf32:
      return 0.01;
    case Precision::fp32:
      return 5e-4;
  }
  return 0;
}

Measurement measure(const std::shared_ptr<ThreadPool>& pool, const Operation& operation,
                    const Contestant& contestant, const Effort& effort) {
  Context context(pool, Device::cuda);
  use_precision(context, operation.precision);
  Lab lab{.precision = operation.precision, .context = &context};
  std::vector<Tensors> copies;
  Launch launch;
  try {
    const int64_t count = effort.samples > 1 ? copies_of(operation) : 1;
    for (int64_t i = 0; i < count; ++i)
      copies.push_back(make_tensors(context, operation, static_cast<uint64_t>(i)));
    launch = contestant.prepare(lab, copies[0]);
  } catch (const InputError&) {
    throw;
  } catch (const Error& error) {  // a Refusal, or too little memory
    throw Refusal(error.what());
  }
  Measurement m = verify(context, operation, contestant, launch, copies[0], effort.serial);

  void* const stream = context.stream();
  size_t next = 0;
  const auto in_turn = [&](int64_t count) {
    for (; count > 0; --count) launch(copies[next++ % copies.size()]);
  };
  m.launches = static_cast<int64_t>(copies.size());
  if (effort.sample_seconds > 0) {
    in_turn(m.launches);
    const double once =
        std::max(seconds_of(stream, [&] { in_turn(m.launches); }) / static_cast<double>(m.launches), 1e-7);
    const auto wanted = static_cast<int64_t>(effort.sample_seconds / once);
    m.launches = round_up(std::clamp(wanted, int64_t{1}, kMostLaunches), m.launches);
  }
  const RecordedWork graph(stream, [&] { in_turn(m.launches); });
  for (double warm = 0; warm < effort.warm_up_seconds;)
    warm += seconds_of(stream, [&] { graph.launch(stream); });
  std::vector<double> samples;
  for (int i = 0; i < effort.samples; ++i) {
    samples.push_back(seconds_of(stream, [&] { graph.launch(stream); }) / static_cast<double>(m.launches));
  }
  std::sort(samples.begin(), samples.end());
  m.low = quantile(samples, 0.1);
  m.median = quantile(samples, 0.5);
  m.high = quantile(samples, 0.9);
  return m;
}

Ceilings measure_ceilings(const std::shared_ptr<ThreadPool>& pool, bool small) {
  constexpr int kRuns = 10;
  Ceilings ceilings;
  Context context(pool, Device::cuda);
  const auto best = [&](const std::function<void()>& work) {
    double seconds = seconds_of(context.stream(), work);
    for (int i = small ? kRuns : 0; i < kRuns; ++i)
      seconds = std::min(seconds, seconds_of(context.stream(), work));
    return seconds;
  };
  {
    const int64_t bytes = small ? 1 << 16 : 1 << 30;
    const Tensor from = Tensor::zeros(context, {bytes}, DType::u8),
                 to = Tensor::zeros(context, {bytes}, DType::u8);
    ceilings.copy = 2 * static_cast<double>(bytes) / best([&] {
                      device_copy(Device::cuda, to.view().data, from.view().data, static_cast<size_t>(bytes),
                                  context.stream());
                    });
  }
  const int64_t n = small ? 64 : 8192;
  for (const Precision precision : {Precision::bf16, Precision::tf32, Precision::fp32}) {
    Lab lab{.precision = precision, .context = &context};
    const DType dtype = activation_dtype(precision);
    const Tensor a = random_normal(context, {n, n}, dtype, 1, 1),
                 b = random_normal(context, {n, n}, dtype, 1, 2), c = Tensor::zeros(context, {n, n}, dtype);
    try {
      const LtOperands operands{a, b, c};
      const LtRun run =
          lt_product(lab, {.m = n, .n = n, .k = n, .in = dtype, .out = dtype, .transpose_b = true}, operands);
      ceilings.products[precision] = 2 * std::pow(static_cast<double>(n), 3) / best([&] { run(operands); });
    } catch (const Refusal&) {
      // No share of it is given; the contestant cublaslt says why.
    }
  }
  return ceilings;
}

}  // namespace cuclip::bench
