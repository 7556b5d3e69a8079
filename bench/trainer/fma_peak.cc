#include "bench/trainer/fma_peak.h"

#include <immintrin.h>
#include <time.h>

#include <cstdint>

namespace loglog {
namespace {

// Enough independent sums to hide the latency of a multiply-add, 4 cycles, on two units.
constexpr int kSums = 12;

// Returns something that depends on every operation.
__attribute__((target("avx512f"))) float MultiplyAdd512(int64_t rounds) {
  __m512 sums[kSums];
  for (__m512& sum : sums) sum = _mm512_set1_ps(1.0f);
  const __m512 factor = _mm512_set1_ps(0.999f), term = _mm512_set1_ps(0.001f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) sums[j] = _mm512_fmadd_ps(sums[j], factor, term);
  }
  __m512 all = sums[0];
  for (int j = 1; j < kSums; ++j) all = _mm512_add_ps(all, sums[j]);
  return _mm512_cvtss_f32(all);
}

__attribute__((target("avx2,fma"))) float MultiplyAdd256(int64_t rounds) {
  __m256 sums[kSums];
  for (__m256& sum : sums) sum = _mm256_set1_ps(1.0f);
  const __m256 factor = _mm256_set1_ps(0.999f), term = _mm256_set1_ps(0.001f);
  for (int64_t i = 0; i < rounds; ++i) {
#pragma GCC unroll 12
    for (int j = 0; j < kSums; ++j) sums[j] = _mm256_fmadd_ps(sums[j], factor, term);
  }
  __m256 all = sums[0];
  for (int j = 1; j < kSums; ++j) all = _mm256_add_ps(all, sums[j]);
  return _mm256_cvtss_f32(all);
}

}  // namespace

double ThreadCpuSeconds() {
  timespec now;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

double MeasureFmaPeak(double seconds) {
  constexpr int64_t kRounds = 1'000'000;
  const bool wide = __builtin_cpu_supports("avx512f");
  const double flops_of_round = 2.0 * kSums * (wide ? 16 : 8);
  volatile float kept = 0;
  const double begin = ThreadCpuSeconds();
  double elapsed = 0;
  int64_t calls = 0;
  while (elapsed < seconds) {
    kept = wide ? MultiplyAdd512(kRounds) : MultiplyAdd256(kRounds);
    ++calls;
    elapsed = ThreadCpuSeconds() - begin;
  }
  (void)kept;
  return flops_of_round * kRounds * static_cast<double>(calls) / elapsed;
}

}  // namespace loglog
