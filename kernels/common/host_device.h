// For small functions that the kernels of both devices call.
#pragma once

#ifdef __CUDACC__
#define CUCLIP_HOST_DEVICE __host__ __device__
#else
#define CUCLIP_HOST_DEVICE
#endif
