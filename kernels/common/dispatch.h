// Device dispatch. An operation's .cpp validates its arguments once and ends with
//   CUCLIP_DISPATCH("layer_norm_forward", ctx, layer_norm_forward_cpu(p, ctx),
//                   layer_norm_forward_cuda(p, ctx));
#pragma once

#include "kernels/common/check.h"
#include "kernels/common/exec_context.h"

#define CUCLIP_CHECK_POOL(operation, ctx)                                                          \
  CUCLIP_CHECK((ctx).device != ::cuclip::Device::cpu || (ctx).pool,                                \
               "{}: the context has no thread pool, which the CPU's kernels share their work on: " \
               "set ExecContext::pool",                                                            \
               operation)

#ifdef CUCLIP_WITH_CUDA
#define CUCLIP_DISPATCH(operation, ctx, cpu_call, cuda_call)               \
  do {                                                                     \
    CUCLIP_CHECK_POOL(operation, ctx);                                     \
    const ::cuclip::ProfileScope profile_scope((ctx).profiler, operation); \
    if ((ctx).device == ::cuclip::Device::cpu) {                           \
      cpu_call;                                                            \
    } else {                                                               \
      cuda_call;                                                           \
    }                                                                      \
  } while (false)
#else
#define CUCLIP_DISPATCH(operation, ctx, cpu_call, cuda_call)                                      \
  do {                                                                                            \
    CUCLIP_CHECK((ctx).device == ::cuclip::Device::cpu, "{}: this cuclip was built without CUDA", \
                 operation);                                                                      \
    CUCLIP_CHECK_POOL(operation, ctx);                                                            \
    const ::cuclip::ProfileScope profile_scope((ctx).profiler, operation);                        \
    cpu_call;                                                                                     \
  } while (false)
#endif
