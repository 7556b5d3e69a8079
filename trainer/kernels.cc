#include "trainer/kernels.h"

namespace loglog {

extern const Kernels kKernels_base;
#ifdef __x86_64__
extern const Kernels kKernels_avx2;
extern const Kernels kKernels_avx512;
#endif

std::vector<NamedKernels> RunnableKernels() {
  std::vector<NamedKernels> sets = {{"base", &kKernels_base}};
#ifdef __x86_64__
  const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  const bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl") &&
                      __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq");
  if (avx2) sets.push_back({"avx2", &kKernels_avx2});
  if (avx2 && avx512) sets.push_back({"avx512", &kKernels_avx512});
#endif
  return sets;
}

const Kernels& CpuKernels() {
  static const Kernels& best = *RunnableKernels().back().kernels;
  return best;
}

}  // namespace loglog
