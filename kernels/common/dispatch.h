// Device dispatch. An operation's .cpp validates its arguments once and ends with
//   CUCLIP_DISPATCH("layer_norm_forward", ctx, layer_norm_forward_cpu(p, ctx),
//                   layer_norm_forward_cuda(p, ctx));
// or, where there is no CUDA kernel,
//   CUCLIP_DISPATCH_CPU_ONLY("layer_norm_forward", ctx, layer_norm_forward_cpu(p, ctx));
#pragma once

#include "kernels/common/check.h"
#include "kernels/common/exec_context.h"

#define CUCLIP_DISPATCH_CPU_ONLY(operation, ctx, cpu_call)                                        \
  do {                                                                                            \
    CUCLIP_CHECK((ctx).device == ::cuclip::Device::cpu, "{}: {}", operation,                      \
                 ::cuclip::built_with_cuda() ? "there is no CUDA kernel of it: run it on the CPU" \
                                             : "this cuclip was built without CUDA");             \
    const ::cuclip::ProfileScope profile_scope((ctx).profiler, operation);                        \
    cpu_call;                                                                                     \
  } while (false)

#ifdef CUCLIP_WITH_CUDA
#define CUCLIP_DISPATCH(operation, ctx, cpu_call, cuda_call)               \
  do {                                                                     \
    const ::cuclip::ProfileScope profile_scope((ctx).profiler, operation); \
    if ((ctx).device == ::cuclip::Device::cpu) {                           \
      cpu_call;                                                            \
    } else {                                                               \
      cuda_call;                                                           \
    }                                                                      \
  } while (false)
#else
#define CUCLIP_DISPATCH(operation, ctx, cpu_call, cuda_call) \
  CUCLIP_DISPATCH_CPU_ONLY(operation, ctx, cpu_call)
#endif
