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
    kLossAndExact,  // loss/val/<name>, acc/<name>: share of sequences with every answer right, and
                    // acc_token/<name>: share of answers
  };
  std::string name;
  std::vector<int32_t> tokens;
  Report report = Report::kLoss;
  int64_t width = 0;           // seq_len + 1; of kLossAndExact
  double tokens_per_byte = 0;  // of its text, for bpb/val[/<name>]; 0: not known
};

// Immutable; thread-safe. Tokens that are not to be predicted are written as ~id, as
// Engine::TrainStep takes them.
class Generator {
 public:
  virtual ~Generator() = default;

  // Sequence `position` of the training stream of `seed`: a function of its arguments only.
  virtual void Fill(uint64_t seed, int64_t position, int32_t* sequence) const = 0;
  // Training sequences in one epoch; nothing for a source without end.
  virtual std::optional<int64_t> EpochSequences() const { return std::nullopt; }
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

// Addition with a hole: `digits` digits of a, +, as many of b, =, and digits + 1 of a + b, most
// significant first; ids 0 to 9, 10 for + and 11 for =. Trained are pairs of numbers of which not
// both lie from hole_begin to hole_end, but for one in 32, which are the set id; the square is ood.
std::unique_ptr<Generator> MakeAdditionGenerator(const AdditionConfig& config,
                                                 const ModelConfig& model);

// Pairs of an input and an output text from files of the user, see pair_files.h: the words of the
// input, <sep>, those of the output, which are predicted, <end>, and <pad>. Ids 0 to 2 are <pad>,
// <sep> and <end>, then the words of all files sorted by their bytes. Every training example comes
// once an epoch. Each file of `val` is a set named as the file without folder and extension; its
// examples of one kind, where it has several, are also a set <name>.<kind>. Throws ConfigError,
// ShardError.
std::unique_ptr<Generator> MakePairsGenerator(const DataConfig& data, const ModelConfig& model,
                                              const std::string& data_root);

// Of `data.train.format`, which is a generated one or one of pairs. Paths begin at `data_root`.
std::unique_ptr<Generator> MakeGenerator(const DataConfig& data, const ModelConfig& model,
                                         const std::string& data_root);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_GENERATORS_H_
