#include "shards/window_order.h"

#include <glob.h>
#include <sys/stat.h>

#include <algorithm>

#include "shards/random.h"

namespace loglog {
namespace {

constexpr uint64_t kOrderKey = 4;

// A pattern of glob() that matches `path` and nothing else.
std::string Literally(const std::string& path) {
  std::string pattern;
  for (const char c : path) {
    if (c == '*' || c == '?' || c == '[' || c == '\\') pattern += '\\';
    pattern += c;
  }
  return pattern;
}

}  // namespace

Permutation::Permutation(uint64_t size, uint64_t key) : size_(size), half_bits_(1) {
  while ((uint64_t{1} << (2 * half_bits_)) < size) ++half_bits_;
  const CounterRandom random(key);
  for (int round = 0; round < kRounds; ++round) round_keys_[round] = random.At(round);
}

uint64_t Permutation::operator()(uint64_t index) const {
  const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
  do {
    uint64_t left = index >> half_bits_, right = index & mask;
    for (uint64_t round_key : round_keys_) {
      const uint64_t next = left ^ (Mix64(right ^ round_key) & mask);
      left = right;
      right = next;
    }
    index = left << half_bits_ | right;
  } while (index >= size_);
  return index;
}

WindowSet::WindowSet(const std::vector<std::string>& paths, ShardFormat format, int64_t seq_len,
                     int64_t vocab)
    : seq_len_(seq_len), vocab_(vocab) {
  for (const std::string& path : paths) {
    shards_.emplace_back(path, format);
    first_window_.push_back(windows_);
    tokens_ += shards_.back().tokens();
    windows_ += std::max<int64_t>(0, (shards_.back().tokens() - 1) / seq_len);
  }
  first_window_.push_back(windows_);
  if (windows_ == 0) {
    throw ShardError((paths.empty() ? std::string("no shard") : paths[0]) + ": " +
                     std::to_string(tokens_) + " tokens in " + std::to_string(paths.size()) +
                     " files hold no whole sequence of model.seq_len + 1 = " +
                     std::to_string(seq_len + 1) + " tokens; use more text or a shorter seq_len");
  }
}

void WindowSet::Read(int64_t index, int32_t* out) const {
  const auto after = std::upper_bound(first_window_.begin(), first_window_.end(), index);
  const size_t shard = static_cast<size_t>(after - first_window_.begin()) - 1;
  shards_[shard].Read((index - first_window_[shard]) * seq_len_, seq_len_ + 1, vocab_, out);
}

int64_t WindowSet::Shuffled(int64_t seed, int64_t position) const {
  const Permutation permutation(
      static_cast<uint64_t>(windows_),
      DeriveKey({kOrderKey, static_cast<uint64_t>(seed), static_cast<uint64_t>(Epoch(position))}));
  return static_cast<int64_t>(permutation(static_cast<uint64_t>(position % windows_)));
}

void WindowSet::CheckAll() const {
  std::vector<int32_t> buffer(65536);
  for (const TokenShard& shard : shards_) {
    for (int64_t at = 0; at < shard.tokens(); at += static_cast<int64_t>(buffer.size())) {
      shard.Read(at, std::min<int64_t>(buffer.size(), shard.tokens() - at), vocab_, buffer.data());
    }
  }
}

std::vector<std::string> GlobShards(const std::string& root, const std::string& pattern) {
  const bool absolute = !pattern.empty() && pattern[0] == '/';
  const std::string folder = root.empty() ? "." : root;
  const std::string full = absolute ? pattern : folder + "/" + pattern;
  const std::string wildcards = absolute ? pattern : Literally(folder) + "/" + pattern;
  glob_t found{};
  std::vector<std::string> paths;
  // GLOB's own order depends on the locale; sorted by bytes below.
  if (glob(wildcards.c_str(), GLOB_NOSORT, nullptr, &found) == 0) {
    for (size_t i = 0; i < found.gl_pathc; ++i) {
      struct stat info {};
      if (stat(found.gl_pathv[i], &info) == 0 && S_ISREG(info.st_mode)) {
        paths.push_back(found.gl_pathv[i]);
      }
    }
  }
  globfree(&found);
  std::sort(paths.begin(), paths.end());
  if (paths.empty()) {
    throw DataUnavailable(
        "no file matches " + full +
        "; pack text with 'loglog data pack', or name the folder of your shards as "
        "data root");
  }
  return paths;
}

}  // namespace loglog
