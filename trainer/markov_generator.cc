#include <algorithm>
#include <cmath>
#include <cstdio>
#include <sstream>

#include "shards/random.h"
#include "trainer/generators.h"

namespace loglog {
namespace {

constexpr uint64_t kTrainKey = 0x6d61726b6f760001ULL;
constexpr uint64_t kValKey = 0x6d61726b6f760002ULL;

std::vector<double> ReadLaw(const std::string& text) {
  std::vector<double> law;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    size_t used = 0;
    double p = 0;
    try {
      p = std::stod(word, &used);
    } catch (const std::exception&) {
      used = 0;
    }
    if (used != word.size() || !(p > 0 && p < 1)) {
      throw ConfigError("data.markov.pi has the entry '" + word +
                        "'; it is a list of probabilities between 0 and 1, such as "
                        "\"0.75 0.19 0.05 0.01\"");
    }
    law.push_back(p);
  }
  double sum = 0;
  for (const double p : law) sum += p;
  if (law.size() < 2 || std::abs(sum - 1) > 1e-9) {
    throw ConfigError("data.markov.pi is \"" + text + "\", " + std::to_string(law.size()) +
                      " numbers with the sum " + std::to_string(sum) +
                      "; give at least two with the sum 1");
  }
  return law;
}

class MarkovGenerator final : public Generator {
 public:
  MarkovGenerator(const MarkovConfig& config, const ModelConfig& model)
      : config_(config), length_(model.seq_len + 1), law_(ReadLaw(config.pi)) {
    if (static_cast<int64_t>(law_.size()) > model.vocab) {
      throw ConfigError("model.vocab is " + std::to_string(model.vocab) +
                        ", and data.markov.pi has " + std::to_string(law_.size()) +
                        " states; raise it");
    }
    double sum = 0;
    for (const double p : law_) cumulative_.push_back(sum += p);
    cumulative_.back() = 1;
  }

  void Fill(uint64_t seed, int64_t position, int32_t* sequence) const override {
    Write(DeriveKey({kTrainKey, seed, static_cast<uint64_t>(position)}), sequence);
  }

  std::vector<EvalSet> EvalSets(int64_t sequences) const override {
    EvalSet set{.name = "val"};
    set.tokens.resize(static_cast<size_t>(sequences * length_));
    for (int64_t i = 0; i < sequences; ++i) {
      Write(DeriveKey({kValKey, static_cast<uint64_t>(i)}),
            &set.tokens[static_cast<size_t>(i * length_)]);
    }
    return {set};
  }

  // sum_i pi_i H(P_i), P_ij = (1 - stay) pi_j + stay [i = j].
  std::optional<double> EntropyRate() const override {
    double entropy = 0;
    for (size_t i = 0; i < law_.size(); ++i) {
      for (size_t j = 0; j < law_.size(); ++j) {
        const double p = (1 - config_.stay) * law_[j] + (i == j ? config_.stay : 0);
        if (p > 0) entropy -= law_[i] * p * std::log(p);
      }
    }
    return entropy;
  }

  std::string Description() const override {
    char text[64];
    std::snprintf(text, sizeof text, "loglog markov 1: stay %.17g, pi ", config_.stay);
    return text + config_.pi;
  }

 private:
  void Write(uint64_t key, int32_t* sequence) const {
    const CounterRandom random(key);
    for (int64_t t = 0; t < length_; ++t) {
      const uint64_t counter = 2 * static_cast<uint64_t>(t);
      if (t > 0 && random.UniformAt(counter) < config_.stay) {
        sequence[t] = sequence[t - 1];
        continue;
      }
      const auto state =
          std::upper_bound(cumulative_.begin(), cumulative_.end(), random.UniformAt(counter + 1));
      sequence[t] = static_cast<int32_t>(state - cumulative_.begin());
    }
  }

  MarkovConfig config_;
  int64_t length_;
  std::vector<double> law_, cumulative_;
};

}  // namespace

std::unique_ptr<Generator> MakeMarkovGenerator(const MarkovConfig& config,
                                               const ModelConfig& model) {
  return std::make_unique<MarkovGenerator>(config, model);
}

}  // namespace loglog
