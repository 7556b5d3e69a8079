#include <algorithm>
#include <cmath>
#include <cstdio>
#include <utility>

#include "shards/random.h"
#include "trainer/generators.h"

namespace loglog {
namespace {

constexpr uint64_t kTrainKey = 0x6164646974690001ULL;
constexpr uint64_t kEvalKey = 0x6164646974690002ULL;
constexpr uint64_t kHeldOutKey = 0x6164646974690003ULL;
constexpr int32_t kPlus = 10, kEquals = 11, kIds = 12;
constexpr uint64_t kHeldOutOneIn = 32;

using Pair = std::pair<int64_t, int64_t>;

class AdditionGenerator final : public Generator {
 public:
  AdditionGenerator(const AdditionConfig& config, const ModelConfig& model)
      : config_(config), limit_(std::llround(std::pow(10, config.digits))) {
    const int64_t length = 3 * config.digits + 2;
    if (config.hole_begin > config.hole_end || config.hole_end >= limit_) {
      throw ConfigError(
          "data.addition.hole_begin to hole_end are " + std::to_string(config.hole_begin) + " to " +
          std::to_string(config.hole_end) + "; write an interval of the numbers of " +
          std::to_string(config.digits) + " digits, 0 to " + std::to_string(limit_ - 1));
    }
    const int64_t side = config.hole_end - config.hole_begin + 1;
    if (side > limit_ * 9 / 10) {
      throw ConfigError("data.addition.hole_begin to hole_end leave " +
                        std::to_string(limit_ - side) + " of " + std::to_string(limit_) +
                        " numbers outside the hole; leave at least a tenth to train on");
    }
    if (model.seq_len != length) {
      throw ConfigError("model.seq_len is " + std::to_string(model.seq_len) + ", and sums of " +
                        std::to_string(config.digits) + " digits have " + std::to_string(length) +
                        " tokens before the last; set it to that");
    }
    if (model.vocab < kIds) {
      throw ConfigError("model.vocab is " + std::to_string(model.vocab) +
                        ", and addition needs 12 ids: ten digits, + and =; raise it");
    }
  }

  void Fill(uint64_t seed, int64_t position, int32_t* sequence) const override {
    const CounterRandom random(DeriveKey({kTrainKey, seed, static_cast<uint64_t>(position)}));
    Write(Draw(random, [this](const Pair& pair) { return !InHole(pair) && !IsHeldOut(pair); }),
          sequence);
  }

  std::vector<EvalSet> EvalSets(int64_t sequences) const override {
    const int64_t side = config_.hole_end - config_.hole_begin + 1;
    return {Set("id", sequences,
                [this](const CounterRandom& random) {
                  return Draw(random, [this](const Pair& pair) {
                    return !InHole(pair) && IsHeldOut(pair);
                  });
                }),
            // From the square itself: of all pairs it may be a tiny part.
            Set("ood", sequences, [this, side](const CounterRandom& random) {
              return Pair(config_.hole_begin + Below(random.At(0), side),
                          config_.hole_begin + Below(random.At(1), side));
            })};
  }

  std::string Description() const override {
    char text[120];
    std::snprintf(text, sizeof text, "loglog addition 1: digits %lld, hole %lld to %lld",
                  static_cast<long long>(config_.digits),
                  static_cast<long long>(config_.hole_begin),
                  static_cast<long long>(config_.hole_end));
    return text;
  }

 private:
  bool InHole(const Pair& pair) const {
    const auto in = [this](int64_t n) { return n >= config_.hole_begin && n <= config_.hole_end; };
    return in(pair.first) && in(pair.second);
  }

  bool IsHeldOut(const Pair& pair) const {
    const uint64_t index = static_cast<uint64_t>(pair.first * limit_ + pair.second);
    return DeriveKey({kHeldOutKey, index}) % kHeldOutOneIn == 0;
  }

  static int64_t Below(uint64_t bits, int64_t bound) {
    return static_cast<int64_t>(bits % static_cast<uint64_t>(bound));
  }

  // The first of the pairs that `random` gives which is wanted.
  template <typename Wanted>
  Pair Draw(const CounterRandom& random, Wanted wanted) const {
    for (uint64_t draw = 0;; draw += 2) {
      const Pair pair(Below(random.At(draw), limit_), Below(random.At(draw + 1), limit_));
      if (wanted(pair)) return pair;
    }
  }

  void Write(const Pair& pair, int32_t* sequence) const {
    const auto digits = [](int64_t number, int64_t count, int32_t* to) {
      for (int64_t i = count - 1; i >= 0; --i, number /= 10) {
        to[i] = static_cast<int32_t>(number % 10);
      }
      return to + count;
    };
    int32_t* next = digits(pair.first, config_.digits, sequence);
    *next++ = kPlus;
    next = digits(pair.second, config_.digits, next);
    *next++ = kEquals;
    for (int32_t* token = sequence; token < next; ++token) *token = ~*token;
    digits(pair.first + pair.second, config_.digits + 1, next);
  }

  template <typename Draw>
  EvalSet Set(const std::string& name, int64_t sequences, Draw draw) const {
    const int64_t width = 3 * config_.digits + 3;
    EvalSet set{.name = name, .report = EvalSet::Report::kLossAndExact, .width = width};
    set.tokens.resize(static_cast<size_t>(sequences * width));
    for (int64_t i = 0; i < sequences; ++i) {
      const CounterRandom random(DeriveKey({kEvalKey, static_cast<uint64_t>(i)}));
      Write(draw(random), &set.tokens[static_cast<size_t>(i * width)]);
    }
    return set;
  }

  AdditionConfig config_;
  int64_t limit_;  // numbers are below it
};

}  // namespace

std::unique_ptr<Generator> MakeAdditionGenerator(const AdditionConfig& config,
                                                 const ModelConfig& model) {
  return std::make_unique<AdditionGenerator>(config, model);
}

}  // namespace loglog
