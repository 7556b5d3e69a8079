#include "trainer/philox.h"

#include <algorithm>
#include <cmath>

namespace loglog {
namespace {

constexpr double kTwoPi = 6.28318530717958647692;

// Two standard normals from two words, by Box and Muller. The half keeps log off zero.
std::array<double, 2> NormalPair(uint32_t a, uint32_t b) {
  const double radius = std::sqrt(-2 * std::log((a + 0.5) * 0x1p-32));
  const double angle = kTwoPi * (b * 0x1p-32);
  return {radius * std::cos(angle), radius * std::sin(angle)};
}

}  // namespace

std::array<uint32_t, 4> Philox4x32(std::array<uint32_t, 4> counter, std::array<uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const uint64_t first = uint64_t{0xD2511F53} * counter[0];
    const uint64_t second = uint64_t{0xCD9E8D57} * counter[2];
    counter = {
        static_cast<uint32_t>(second >> 32) ^ counter[1] ^ key[0], static_cast<uint32_t>(second),
        static_cast<uint32_t>(first >> 32) ^ counter[3] ^ key[1], static_cast<uint32_t>(first)};
    key[0] += 0x9E3779B9;
    key[1] += 0xBB67AE85;
  }
  return counter;
}

void DrawNormal(uint64_t seed, uint32_t stream, double std, int64_t count, float* out) {
  const std::array<uint32_t, 2> key = {static_cast<uint32_t>(seed),
                                       static_cast<uint32_t>(seed >> 32)};
  for (int64_t begin = 0; begin < count; begin += 4) {
    const uint64_t block = static_cast<uint64_t>(begin / 4);
    const auto words = Philox4x32(
        {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), stream, 0}, key);
    const auto low = NormalPair(words[0], words[1]);
    const auto high = NormalPair(words[2], words[3]);
    const double draws[4] = {low[0], low[1], high[0], high[1]};
    for (int64_t i = begin; i < std::min(begin + 4, count); ++i) {
      out[i] = static_cast<float>(std * draws[i - begin]);
    }
  }
}

}  // namespace loglog
