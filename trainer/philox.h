// Philox4x32-10, the counter-based generator of Salmon et al., "Parallel random numbers:
// as easy as 1, 2, 3" (SC 2011): any block of the stream costs the same, so numbers depend
// on their place only and never on who draws first.
#ifndef LOGLOG_TRAINER_PHILOX_H_
#define LOGLOG_TRAINER_PHILOX_H_

#include <array>
#include <cstdint>

namespace loglog {

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key);

// Writes `count` draws of N(0, std^2): draw i is a function of (seed, stream, i) only.
void DrawNormal(uint64_t seed, uint32_t stream, double std, int64_t count, float* out);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_PHILOX_H_
