// Counter-based random numbers: a number is a pure function of a key and a counter, so
// a data stream resumes from a step number alone and needs no generator state.
#ifndef LOGLOG_SHARDS_RANDOM_H_
#define LOGLOG_SHARDS_RANDOM_H_

#include <cstdint>
#include <initializer_list>

namespace loglog {

// The finalizer of SplitMix64 (Steele, Lea, Flood 2014): a bijection of 64 bits.
inline uint64_t Mix64(uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

// A key from several numbers; order matters.
inline uint64_t DeriveKey(std::initializer_list<uint64_t> parts) {
  uint64_t key = 0x6c6f676c6f670001ULL;
  for (uint64_t part : parts) key = Mix64(key ^ Mix64(part + 0x9e3779b97f4a7c15ULL));
  return key;
}

// SplitMix64 addressed by position. Immutable; free to copy.
class CounterRandom {
 public:
  explicit CounterRandom(uint64_t key) : key_(key) {}
  uint64_t At(uint64_t counter) const {
    return Mix64(key_ + (counter + 1) * 0x9e3779b97f4a7c15ULL);
  }
  // Uniform in [0, 1), a multiple of 2^-53.
  double UniformAt(uint64_t counter) const {
    return static_cast<double>(At(counter) >> 11) * 0x1p-53;
  }

 private:
  uint64_t key_;
};

}  // namespace loglog

#endif  // LOGLOG_SHARDS_RANDOM_H_
