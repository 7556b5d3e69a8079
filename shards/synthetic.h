// A source of tokens whose entropy rate is known exactly, so that a fitted loss floor
// can be held against the truth.
#ifndef LOGLOG_SHARDS_SYNTHETIC_H_
#define LOGLOG_SHARDS_SYNTHETIC_H_

#include <cstdint>
#include <string>
#include <vector>

namespace loglog {

struct SyntheticParams {
  int64_t contexts = 512;
  double zipf = 1.5;      // contexts have p_k proportional to k^-zipf, k = 1..contexts
  int64_t branching = 8;  // answers of each context, with q_j proportional to 1/j
  int64_t seed = 0;       // picks the answers: the language, not the sample
};

// Sequences alternate context, answer, context, answer, ... Contexts are independent
// draws from a Zipf law. Each context has `branching` answers of its own, drawn by the
// language seed from the ids above the contexts, with probabilities q. Ids of contexts
// and answers are disjoint, so the token before a position is all there is to know
// about it, and the loss of the best predictor is exactly the entropy of the draw.
//
// Immutable after construction; thread-safe.
class SyntheticSource {
 public:
  enum class Stream { kTrain, kVal };

  // Throws ShardError, naming the parameter and the fix, when the parameters make no
  // language or do not fit the vocabulary (contexts + branching ids at least).
  SyntheticSource(const SyntheticParams& params, int64_t vocab);

  // Writes the `length` tokens of sequence `index`: a pure function of the language,
  // the stream, `order_seed` and `index`. Sequences start with a context.
  void Fill(Stream stream, int64_t order_seed, int64_t index, int64_t length, int32_t* out) const;

  // Entropy, in nats per token, over the `seq_len` predicted positions of a sequence of
  // seq_len + 1 tokens: what the loss of a perfect model is, exactly.
  double EntropyRate(int64_t seq_len) const;
  double ContextEntropy() const { return context_entropy_; }
  double AnswerEntropy() const { return answer_entropy_; }

  // The excess loss of a learner that must see a context some fixed number of times
  // falls as D^-exponent, exponent = 1 - 1/zipf, for as long as D is too small for
  // the rarest contexts.
  double PredictedExponent() const { return 1 - 1 / params_.zipf; }

  double ContextProbability(int64_t context) const;
  // The probability of `answer` (a token id) after `context`; 0 for ids that never follow.
  double AnswerProbability(int64_t context, int32_t answer) const;

  // The sum of -ln p over tokens[1] to tokens[length - 1] of a sequence as Fill writes it,
  // each given the token before: what the best predictor loses on just this sequence.
  double NegLogLikelihood(const int32_t* tokens, int64_t length) const;

  const SyntheticParams& params() const { return params_; }
  // Identifies the data as a file's hash would: depends on the parameters and the
  // vocabulary only.
  std::string Sha256() const;

 private:
  SyntheticParams params_;
  int64_t vocab_;
  std::vector<double> context_cdf_;
  std::vector<double> answer_cdf_;
  std::vector<int32_t> answers_;  // [contexts, branching]
  double context_entropy_ = 0;
  double answer_entropy_ = 0;
};

}  // namespace loglog

#endif  // LOGLOG_SHARDS_SYNTHETIC_H_
