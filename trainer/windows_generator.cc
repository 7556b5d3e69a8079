#include <algorithm>
#include <cstdio>
#include <numeric>
#include <utility>

#include "shards/random.h"
#include "trainer/generators.h"

namespace loglog {
namespace {

constexpr uint64_t kTableKey = 0x77696e646f777301ULL;
constexpr uint64_t kTrainKey = 0x77696e646f777302ULL;
constexpr int64_t kLength = 3;

void Shuffle(uint64_t key, std::vector<int32_t>* values) {
  const CounterRandom random(key);
  for (size_t i = values->size(); i > 1; --i) {
    std::swap((*values)[i - 1], (*values)[random.At(i) % i]);
  }
}

std::vector<int32_t> Numbers(int64_t count) {
  std::vector<int32_t> numbers(static_cast<size_t>(count));
  std::iota(numbers.begin(), numbers.end(), 0);
  return numbers;
}

class WindowsGenerator final : public Generator {
 public:
  WindowsGenerator(const WindowsConfig& config, const ModelConfig& model)
      : config_(config), pairs_(Numbers(config.anchors * config.anchors)) {
    Check(model);
    const uint64_t seed = static_cast<uint64_t>(config.seed);
    for (int64_t anchor = 0; anchor < config.anchors; ++anchor) {
      permutations_.push_back(Numbers(config.keys));
      Shuffle(DeriveKey({kTableKey, seed, static_cast<uint64_t>(anchor)}), &permutations_.back());
    }
    Shuffle(DeriveKey({kTableKey, seed, ~uint64_t{0}}), &pairs_);
  }

  void Fill(uint64_t seed, int64_t position, int32_t* sequence) const override {
    const CounterRandom random(DeriveKey({kTrainKey, seed, static_cast<uint64_t>(position)}));
    const uint64_t pair = random.At(0) % static_cast<uint64_t>(config_.train_pairs);
    Write(pairs_[pair], static_cast<int64_t>(random.At(1) % static_cast<uint64_t>(config_.keys)),
          sequence);
  }

  // There are so few that all of them are asked.
  std::vector<EvalSet> EvalSets(int64_t) const override {
    const size_t trained = static_cast<size_t>(config_.train_pairs);
    return {Set("id", 0, trained), Set("ood", trained, pairs_.size())};
  }

  std::string Description() const override {
    char text[160];
    std::snprintf(
        text, sizeof text, "loglog windows 1: keys %lld, anchors %lld, train_pairs %lld, seed %lld",
        static_cast<long long>(config_.keys), static_cast<long long>(config_.anchors),
        static_cast<long long>(config_.train_pairs), static_cast<long long>(config_.seed));
    return text;
  }

 private:
  void Check(const ModelConfig& model) const {
    const int64_t pairs = config_.anchors * config_.anchors, ids = config_.keys + config_.anchors;
    if (config_.train_pairs >= pairs) {
      throw ConfigError("data.windows.train_pairs is " + std::to_string(config_.train_pairs) +
                        ", and " + std::to_string(config_.anchors) + " anchors make " +
                        std::to_string(pairs) + " pairs, of which some must stay untrained");
    }
    if (model.seq_len != kLength) {
      throw ConfigError("model.seq_len is " + std::to_string(model.seq_len) +
                        ", and data of format windows have " + std::to_string(kLength) +
                        " tokens before the answer; set it to that");
    }
    if (model.vocab < ids) {
      throw ConfigError("model.vocab is " + std::to_string(model.vocab) +
                        ", and data.windows needs an id for each of " + std::to_string(ids) +
                        " keys and anchors; raise it");
    }
  }

  void Write(int32_t pair, int64_t key, int32_t* sequence) const {
    const int64_t a = pair / config_.anchors, b = pair % config_.anchors;
    const int32_t first = permutations_[static_cast<size_t>(a)][static_cast<size_t>(key)];
    sequence[0] = ~static_cast<int32_t>(key);
    sequence[1] = ~static_cast<int32_t>(config_.keys + a);
    sequence[2] = ~static_cast<int32_t>(config_.keys + b);
    sequence[3] = permutations_[static_cast<size_t>(b)][static_cast<size_t>(first)];
  }

  // Every key with each of pairs_[begin] to pairs_[end - 1].
  EvalSet Set(const std::string& name, size_t begin, size_t end) const {
    EvalSet set{.name = name, .report = EvalSet::Report::kLossAndAccuracy};
    for (size_t i = begin; i < end; ++i) {
      for (int64_t key = 0; key < config_.keys; ++key) {
        int32_t sequence[kLength + 1];
        Write(pairs_[i], key, sequence);
        set.tokens.insert(set.tokens.end(), sequence, sequence + kLength + 1);
      }
    }
    return set;
  }

  WindowsConfig config_;
  std::vector<std::vector<int32_t>> permutations_;
  std::vector<int32_t> pairs_;  // shuffled; the first train_pairs are trained
};

}  // namespace

std::unique_ptr<Generator> MakeWindowsGenerator(const WindowsConfig& config,
                                                const ModelConfig& model) {
  return std::make_unique<WindowsGenerator>(config, model);
}

}  // namespace loglog
