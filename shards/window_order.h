// Training sequences cut from shards, in an order that is a pure function of the seed
// and the position: no shuffle buffer, and a resume needs a step number alone.
#ifndef LOGLOG_SHARDS_WINDOW_ORDER_H_
#define LOGLOG_SHARDS_WINDOW_ORDER_H_

#include <cstdint>
#include <string>
#include <vector>

#include "shards/token_shard.h"

namespace loglog {

// A bijection of [0, size) picked by a key: a Feistel network over the next power of
// four, walked until it lands inside. Immutable.
class Permutation {
 public:
  // 1 <= size <= 2^62.
  Permutation(uint64_t size, uint64_t key);
  uint64_t operator()(uint64_t index) const;

 private:
  static constexpr int kRounds = 6;
  uint64_t size_;
  int half_bits_;
  uint64_t round_keys_[kRounds];
};

// The shards of one set, cut into windows of seq_len + 1 tokens that overlap by one: a token is
// predicted once, but for the first of each shard and the last few that fill no window. Immutable
// after construction; thread-safe.
class WindowSet {
 public:
  // Throws ShardError, also when no shard has a whole window.
  WindowSet(const std::vector<std::string>& paths, ShardFormat format, int64_t seq_len,
            int64_t vocab);

  int64_t windows() const { return windows_; }
  int64_t tokens() const { return tokens_; }

  // Writes the seq_len + 1 tokens of window `index`, in the shards' own order. Throws
  // ShardError for an id outside the vocabulary.
  void Read(int64_t index, int32_t* out) const;

  // The window at place `position` of the endless stream of `seed`: epoch after epoch,
  // each a new permutation of all windows.
  int64_t Shuffled(int64_t seed, int64_t position) const;
  int64_t Epoch(int64_t position) const { return position / windows_; }

  // Reads every token once and throws ShardError for the first id outside the vocabulary.
  void CheckAll() const;

 private:
  int64_t seq_len_;
  int64_t vocab_;
  std::vector<TokenShard> shards_;
  std::vector<int64_t> first_window_;  // of each shard, and the total at the end
  int64_t windows_ = 0;
  int64_t tokens_ = 0;
};

// Paths that match `pattern` (relative to `root` unless absolute; only `pattern` has
// wildcards), sorted. Throws DataUnavailable saying what was looked for when nothing matches.
std::vector<std::string> GlobShards(const std::string& root, const std::string& pattern);

}  // namespace loglog

#endif  // LOGLOG_SHARDS_WINDOW_ORDER_H_
