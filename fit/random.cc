#include "fit/random.h"

#include <cmath>

#include "base/check.h"

namespace loglog {

RandomStream::Block RandomStream::Philox(Block counter, std::array<uint32_t, 2> key) {
  constexpr int kRounds = 10;
  constexpr uint64_t kMultiply0 = 0xD2511F53, kMultiply1 = 0xCD9E8D57;
  constexpr uint32_t kWeyl0 = 0x9E3779B9, kWeyl1 = 0xBB67AE85;
  for (int round = 0; round < kRounds; ++round) {
    const uint64_t product0 = kMultiply0 * counter[0];
    const uint64_t product1 = kMultiply1 * counter[2];
    counter = {static_cast<uint32_t>(product1 >> 32) ^ counter[1] ^ key[0],
               static_cast<uint32_t>(product1),
               static_cast<uint32_t>(product0 >> 32) ^ counter[3] ^ key[1],
               static_cast<uint32_t>(product0)};
    key[0] += kWeyl0;
    key[1] += kWeyl1;
  }
  return counter;
}

// FNV-1a, then a finalizer that spreads every bit.
uint64_t RandomStream::KeyOf(absl::string_view fit_id) {
  uint64_t hash = 0xCBF29CE484222325;
  for (const char c : fit_id) hash = (hash ^ static_cast<uint8_t>(c)) * 0x100000001B3;
  hash = (hash ^ (hash >> 33)) * 0xFF51AFD7ED558CCD;
  return hash ^ (hash >> 33);
}

uint32_t RandomStream::Next32() {
  if (used_ == 4) {
    words_ = Philox({static_cast<uint32_t>(block_), static_cast<uint32_t>(block_ >> 32),
                     static_cast<uint32_t>(stream_), static_cast<uint32_t>(stream_ >> 32)},
                    {static_cast<uint32_t>(key_), static_cast<uint32_t>(key_ >> 32)});
    ++block_;
    used_ = 0;
  }
  return words_[used_++];
}

double RandomStream::Uniform() {
  const uint64_t high = Next32();
  const uint64_t bits = (high << 32 | Next32()) >> 11;
  return (static_cast<double>(bits) + 0.5) / 9007199254740992.0;
}

uint32_t RandomStream::Below(uint32_t n) {
  LOGLOG_CHECK(n >= 1);
  // Words at or above the largest multiple of n would favour small results.
  const uint64_t limit = (uint64_t{1} << 32) / n * n;
  uint64_t word = Next32();
  while (word >= limit) word = Next32();
  return static_cast<uint32_t>(word % n);
}

double RandomStream::Normal() {
  const double radius = std::sqrt(-2 * std::log(Uniform()));
  return radius * std::cos(2 * M_PI * Uniform());
}

}  // namespace loglog
