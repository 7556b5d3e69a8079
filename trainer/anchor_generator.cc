#include <algorithm>
#include <cstdio>
#include <set>
#include <utility>

#include "shards/random.h"
#include "trainer/generators.h"

namespace loglog {
namespace {

constexpr uint64_t kTrainKey = 0x616e63686f727301ULL;
constexpr uint64_t kEvalKey = 0x616e63686f727302ULL;
constexpr int64_t kLength = 9;
constexpr int64_t kPositions = 7;  // of the key: two anchors follow it
constexpr int32_t kLowest = 20, kHighest = 99;
constexpr int32_t kIds = kHighest + 11;  // the largest answer is 99 + 5 + 5

using Pair = std::pair<int32_t, int32_t>;

int32_t Shift(int32_t anchor) {
  constexpr int32_t kShifts[] = {5, 1, -2, -8};
  return kShifts[anchor - 1];
}

int32_t ComposedShift(const Pair& pair) { return Shift(pair.first) + Shift(pair.second); }

// The first `groups` of these pairs, and their mirrors, answer with the shift beside them.
std::optional<int32_t> NoiseShift(const Pair& pair, int64_t groups) {
  constexpr std::pair<Pair, int32_t> kNoise[] = {{{1, 2}, 4}, {{1, 3}, 1},  {{1, 4}, -5},
                                                 {{2, 3}, 5}, {{2, 4}, -9}, {{3, 4}, -6}};
  for (int64_t i = 0; i < groups; ++i) {
    const auto& [noisy, shift] = kNoise[i];
    if (pair == noisy || pair == Pair{noisy.second, noisy.first}) return shift;
  }
  return std::nullopt;
}

// Draws one after another from one sequence's numbers.
class Draws {
 public:
  explicit Draws(uint64_t key) : random_(key) {}
  int64_t Below(int64_t bound) {
    return static_cast<int64_t>(random_.At(next_++) % static_cast<uint64_t>(bound));
  }
  int32_t Number() { return kLowest + static_cast<int32_t>(Below(kHighest - kLowest + 1)); }

 private:
  CounterRandom random_;
  uint64_t next_ = 0;
};

class AnchorGenerator final : public Generator {
 public:
  AnchorGenerator(const AnchorConfig& config, const ModelConfig& model) : config_(config) {
    if (model.seq_len != kLength) {
      throw ConfigError("model.seq_len is " + std::to_string(model.seq_len) +
                        ", and data of format anchor have " + std::to_string(kLength) +
                        " tokens before the answer; set it to that");
    }
    if (model.vocab < kIds) {
      throw ConfigError("model.vocab is " + std::to_string(model.vocab) +
                        ", and answers of data.anchor go up to " + std::to_string(kIds - 1) +
                        "; make it at least " + std::to_string(kIds) + " (the papers have 201)");
    }
    for (int32_t a = 1; a <= 4; ++a) {
      for (int32_t b = 1; b <= 4; ++b)
        (IsTrained({a, b}) ? trained_ : untrained_).push_back({a, b});
    }
  }

  void Fill(uint64_t seed, int64_t position, int32_t* sequence) const override {
    Draws draws(DeriveKey({kTrainKey, seed, static_cast<uint64_t>(position)}));
    const Pair pair = trained_[static_cast<size_t>(draws.Below(trained_.size()))];
    Write(pair, TargetShift(pair), /*held_out=*/false, &draws, sequence);
  }

  std::vector<EvalSet> EvalSets(int64_t sequences) const override {
    using Report = EvalSet::Report;
    std::vector<EvalSet> sets = {
        Set("id", Report::kLossAndAccuracy, trained_, true, sequences, std::nullopt),
        Set("probe_12", Report::kAccuracy, {{1, 2}}, true, sequences, std::nullopt),
        Set("probe_43", Report::kAccuracy, {{4, 3}}, false, sequences, std::nullopt),
        Set("symmetric", Report::kAccuracy, {{4, 3}}, false, sequences, -6), Agreement(sequences)};
    if (!untrained_.empty()) {
      sets.insert(sets.begin() + 1,
                  Set("ood", Report::kLossAndAccuracy, untrained_, false, sequences, std::nullopt));
    }
    return sets;
  }

  std::string Description() const override {
    char text[120];
    std::snprintf(text, sizeof text,
                  "loglog anchor 1: protocol %d, modulus %lld, noise_groups %lld",
                  static_cast<int>(config_.protocol), static_cast<long long>(config_.modulus),
                  static_cast<long long>(config_.noise_groups));
    return text;
  }

 private:
  bool IsTrained(const Pair& pair) const {
    switch (config_.protocol) {
      case AnchorProtocol::kWithout34:
        return pair != Pair{3, 4} && pair != Pair{4, 3};
      case AnchorProtocol::kNoninferential34:
        return pair != Pair{4, 3};
      case AnchorProtocol::kAll:
        return true;
    }
    return true;
  }

  // What a pair is answered with in training and, where it is untrained, by composition.
  int32_t TargetShift(const Pair& pair) const {
    if (!IsTrained(pair)) return ComposedShift(pair);
    if (config_.protocol == AnchorProtocol::kNoninferential34 && pair == Pair{3, 4}) return -6;
    return NoiseShift(pair, config_.noise_groups).value_or(ComposedShift(pair));
  }

  void Write(const Pair& pair, int32_t shift, bool held_out, Draws* draws,
             int32_t* sequence) const {
    int64_t place = 0;
    int32_t key = 0;
    do {
      place = draws->Below(kPositions);
      key = draws->Number();
    } while ((key % config_.modulus == place) != held_out);
    for (int64_t i = 0; i < kLength; ++i) sequence[i] = ~draws->Number();
    sequence[place] = ~key;
    sequence[place + 1] = ~pair.first;
    sequence[place + 2] = ~pair.second;
    sequence[kLength] = key + shift;
  }

  EvalSet Set(const std::string& name, EvalSet::Report report, const std::vector<Pair>& pairs,
              bool held_out, int64_t sequences, std::optional<int32_t> shift) const {
    EvalSet set{.name = name, .report = report};
    set.tokens.resize(static_cast<size_t>(sequences * (kLength + 1)));
    for (int64_t i = 0; i < sequences; ++i) {
      Draws draws(DeriveKey({kEvalKey, static_cast<uint64_t>(i)}));
      const Pair& pair = pairs[static_cast<size_t>(i) % pairs.size()];
      Write(pair, shift.value_or(TargetShift(pair)), held_out, &draws,
            &set.tokens[static_cast<size_t>(i * (kLength + 1))]);
    }
    return set;
  }

  // The same numbers with 3 4 and with 4 3, once at least.
  EvalSet Agreement(int64_t sequences) const {
    EvalSet set{.name = "commutative", .report = EvalSet::Report::kAgreement};
    for (int64_t i = 0; i < std::max<int64_t>(1, sequences / 2); ++i) {
      for (const Pair& pair : {Pair{3, 4}, Pair{4, 3}}) {
        Draws draws(DeriveKey({kEvalKey, static_cast<uint64_t>(i)}));
        int32_t sequence[kLength + 1];
        Write(pair, 0, /*held_out=*/false, &draws, sequence);
        set.tokens.insert(set.tokens.end(), sequence, sequence + kLength + 1);
      }
    }
    return set;
  }

  AnchorConfig config_;
  std::vector<Pair> trained_, untrained_;
};

}  // namespace

std::unique_ptr<Generator> MakeAnchorGenerator(const AnchorConfig& config,
                                               const ModelConfig& model) {
  return std::make_unique<AnchorGenerator>(config, model);
}

}  // namespace loglog
