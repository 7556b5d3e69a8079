#ifndef LOGLOG_FIT_RANDOM_H_
#define LOGLOG_FIT_RANDOM_H_

#include <array>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace loglog {

// Random numbers that are a pure function of (fit id, stream, draw): Philox4x32-10
// (Salmon et al., SC 2011). Resample r of a fit draws from stream r, so its numbers do
// not depend on which thread makes it, or when.
class RandomStream {
 public:
  RandomStream(uint64_t key, uint64_t stream) : key_(key), stream_(stream) {}
  // 64 bits of the fit's id, the key of all its streams.
  static uint64_t KeyOf(absl::string_view fit_id);

  uint32_t Next32();
  // Uniform over (0, 1), 53 bits.
  double Uniform();
  // Uniform over 0 .. n-1 without bias; n >= 1.
  uint32_t Below(uint32_t n);
  double Normal();

  using Block = std::array<uint32_t, 4>;
  static Block Philox(Block counter, std::array<uint32_t, 2> key);

 private:
  const uint64_t key_;
  const uint64_t stream_;
  uint64_t block_ = 0;  // index of the next block
  Block words_ = {};
  int used_ = 4;  // of words_
};

}  // namespace loglog

#endif  // LOGLOG_FIT_RANDOM_H_
