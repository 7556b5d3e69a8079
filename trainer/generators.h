// The small worlds of the papers as sources of tokens: sequences that are made, not read, and
// held-out ones to ask about what was never trained.
#ifndef LOGLOG_TRAINER_GENERATORS_H_
#define LOGLOG_TRAINER_GENERATORS_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "trainer/config.h"

namespace loglog {

// Sequences to evaluate on, [seq_len + 1] each, and what is told about them.
struct EvalSet {
  enum class Report {
    kLoss,             // loss/val
    kLossAndAccuracy,  // loss/val/<name> and acc/<name>
    kAccuracy,         // acc/<name>
    kAgreement,        // acc/<name>: how often sequences 2 i and 2 i + 1 get the same answer
  };
  std::string name;
  std::vector<int32_t> tokens;
  Report report = Report::kLoss;
};

// Immutable; thread-safe. Tokens that are not to be predicted are written as ~id, as
// Engine::TrainStep takes them.
class Generator {
 public:
  virtual ~Generator() = default;

  // Sequence `position` of the training stream of `seed`: a function of its arguments only.
  virtual void Fill(uint64_t seed, int64_t position, int32_t* sequence) const = 0;
  // The first one is the validation set. About `sequences` sequences each, or as many as exist.
  virtual std::vector<EvalSet> EvalSets(int64_t sequences) const = 0;
  // The loss of a perfect model, nats per predicted token, where it is known.
  virtual std::optional<double> EntropyRate() const { return std::nullopt; }
  // Names the data as a file's hash would.
  virtual std::string Description() const = 0;
};

// Critical windows (arXiv 2605.04396): tokens key, a, b, answer. Each of the anchors is a random
// permutation of the keys; the answer is pi_b(pi_a(key)). `train_pairs` of the ordered pairs (a, b)
// are trained, with all keys; sets: id (those), ood (the others).
std::unique_ptr<Generator> MakeWindowsGenerator(const WindowsConfig& config,
                                                const ModelConfig& model);

// Anchor functions (arXiv 2405.05409 and 2501.08537): nine numbers, among them a key followed by
// two anchors; the tenth token is g(g(key; a); b) with g(x; 1..4) = x + 5, x + 1, x - 2, x - 8.
// Trained are (key, position) with key mod modulus != position. Sets: id (trained pairs, held-out
// keys), ood (untrained pairs, trained keys), probe_12 (pair 1 2, held-out keys), probe_43 (pair 4
// 3, trained keys), symmetric (share of pair 4 3 answered by x - 6), commutative (agreement of 3 4
// and 4 3).
std::unique_ptr<Generator> MakeAnchorGenerator(const AnchorConfig& config,
                                               const ModelConfig& model);

// A Markov chain with P = stay I + (1 - stay) 1 pi^T (arXiv 2605.01199), started from pi, which is
// its stationary law. Set: val.
std::unique_ptr<Generator> MakeMarkovGenerator(const MarkovConfig& config,
                                               const ModelConfig& model);

// Of `data.train.format`, which is a generated one.
std::unique_ptr<Generator> MakeGenerator(const DataConfig& data, const ModelConfig& model);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GENERATORS_H_
