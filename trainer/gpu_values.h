// The numbers that kernels store, and the mark of code that runs on a GPU and on the host.
#ifndef LOGLOG_TRAINER_GPU_VALUES_H_
#define LOGLOG_TRAINER_GPU_VALUES_H_

#include <string.h>

#include <cstdint>

#ifdef __CUDACC__
#define LOGLOG_BOTH __host__ __device__
#else
#define LOGLOG_BOTH
#endif

namespace loglog {

// The upper half of a float, rounded to the nearest, ties to even. Same bits as at::BFloat16.
struct Bf16 {
  uint16_t bits;
};

LOGLOG_BOTH inline float Load(float x) { return x; }
LOGLOG_BOTH inline float Load(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
LOGLOG_BOTH inline void Store(float& to, float x) { to = x; }
LOGLOG_BOTH inline void Store(Bf16& to, float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  // Rounding could carry a NaN's mantissa over into infinity.
  to.bits = x != x ? uint16_t{0x7fc0}
                   : static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GPU_VALUES_H_
