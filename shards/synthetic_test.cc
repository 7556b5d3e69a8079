#include "shards/synthetic.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "shards/test_files_testing.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

constexpr auto kTrain = SyntheticSource::Stream::kTrain;
constexpr auto kVal = SyntheticSource::Stream::kVal;

std::vector<int32_t> Sequence(const SyntheticSource& source, SyntheticSource::Stream stream,
                              int64_t order_seed, int64_t index, int64_t length = 33) {
  std::vector<int32_t> out(length);
  source.Fill(stream, order_seed, index, length, out.data());
  return out;
}

TEST(Synthetic, ASequenceIsAFunctionOfItsCoordinates) {
  const SyntheticSource source({.contexts = 64, .seed = 3}, 128);
  const SyntheticSource again({.contexts = 64, .seed = 3}, 128);
  const auto sequence = Sequence(source, kTrain, 5, 7);
  EXPECT_EQ(sequence, Sequence(again, kTrain, 5, 7));
  EXPECT_NE(sequence, Sequence(source, kTrain, 5, 8));
  EXPECT_NE(sequence, Sequence(source, kTrain, 6, 7));
  EXPECT_NE(sequence, Sequence(source, kVal, 5, 7));
  EXPECT_NE(sequence, Sequence(SyntheticSource({.contexts = 64, .seed = 4}, 128), kTrain, 5, 7));
  // A shorter sequence is the head of a longer one.
  auto head = sequence;
  head.resize(10);
  EXPECT_EQ(head, Sequence(source, kTrain, 5, 7, 10));
}

TEST(Synthetic, ContextsAndAnswersAlternateWithDisjointIds) {
  const SyntheticSource source({.contexts = 100, .branching = 5}, 120);
  for (int64_t i = 0; i < 50; ++i) {
    const auto sequence = Sequence(source, kTrain, 0, i);
    for (size_t t = 0; t < sequence.size(); ++t) {
      if (t % 2 == 0) {
        ASSERT_TRUE(sequence[t] >= 0 && sequence[t] < 100);
      } else {
        ASSERT_TRUE(sequence[t] >= 100 && sequence[t] < 120);
        ASSERT_GT(source.AnswerProbability(sequence[t - 1], sequence[t]), 0);
      }
    }
  }
}

TEST(Synthetic, ProbabilitiesSumToOne) {
  const SyntheticSource source({.contexts = 30, .branching = 6}, 50);
  double contexts = 0;
  for (int64_t c = 0; c < 30; ++c) {
    contexts += source.ContextProbability(c);
    double answers = 0;
    for (int32_t id = 30; id < 50; ++id) answers += source.AnswerProbability(c, id);
    EXPECT_NEAR(answers, 1, 1e-12);
  }
  EXPECT_NEAR(contexts, 1, 1e-12);
}

// The closed form against entropies summed from the probabilities, and against the code
// length of sampled text under the true probabilities; with an even and an odd number
// of predicted positions.
TEST(Synthetic, EntropyRateIsExact) {
  const SyntheticSource source({.contexts = 200, .zipf = 1.3, .branching = 7, .seed = 11}, 256);
  double context_entropy = 0, answer_entropy = 0;
  for (int64_t c = 0; c < 200; ++c) {
    const double p = source.ContextProbability(c);
    context_entropy -= p * std::log(p);
    for (int32_t id = 200; id < 256; ++id) {
      const double q = source.AnswerProbability(c, id);
      if (q > 0) answer_entropy -= p * q * std::log(q);
    }
  }
  EXPECT_NEAR(source.ContextEntropy(), context_entropy, 1e-10);
  EXPECT_NEAR(source.AnswerEntropy(), answer_entropy, 1e-10);

  for (int64_t seq_len : {32, 33}) {
    double sum = 0, sum_squares = 0;
    const int64_t sequences = 4000;
    for (int64_t i = 0; i < sequences; ++i) {
      const auto sequence = Sequence(source, kVal, 0, i, seq_len + 1);
      double bits = 0;
      for (int64_t t = 1; t <= seq_len; ++t) {
        bits -= std::log(t % 2 == 0 ? source.ContextProbability(sequence[t])
                                    : source.AnswerProbability(sequence[t - 1], sequence[t]));
      }
      bits /= static_cast<double>(seq_len);
      sum += bits;
      sum_squares += bits * bits;
    }
    const double mean = sum / sequences;
    const double error = std::sqrt((sum_squares / sequences - mean * mean) / sequences);
    EXPECT_LT(error, 0.005);
    EXPECT_NEAR(mean, source.EntropyRate(seq_len), 4 * error) << "seq_len " << seq_len;
  }
}

// A learner that counts, with half a count for every answer it has not seen. Its excess
// over the entropy of the answers is computed exactly from its counts.
double ExcessOfCounting(const SyntheticSource& source, int64_t vocab, int64_t answers_seen,
                        int64_t order_seed) {
  const int64_t contexts = source.params().contexts;
  std::map<std::pair<int32_t, int32_t>, int64_t> pairs;
  std::vector<int64_t> visits(contexts, 0);
  const int64_t length = 1000;
  std::vector<int32_t> sequence(length);
  for (int64_t i = 0; i * length < 2 * answers_seen; ++i) {
    source.Fill(kTrain, order_seed, i, length, sequence.data());
    for (int64_t t = 0; t + 1 < length && t < 2 * answers_seen - i * length; t += 2) {
      ++pairs[{sequence[t], sequence[t + 1]}];
      ++visits[sequence[t]];
    }
  }
  const double alphabet = static_cast<double>(vocab - contexts);
  double excess = 0;
  for (int64_t c = 0; c < contexts; ++c) {
    double cross_entropy = 0;
    for (int32_t id = static_cast<int32_t>(contexts); id < vocab; ++id) {
      const double q = source.AnswerProbability(c, id);
      if (q == 0) continue;
      const auto seen = pairs.find({static_cast<int32_t>(c), id});
      const double count = seen == pairs.end() ? 0 : static_cast<double>(seen->second);
      cross_entropy -=
          q * std::log((count + 0.5) / (static_cast<double>(visits[c]) + 0.5 * alphabet));
    }
    excess += source.ContextProbability(c) * (cross_entropy - source.AnswerEntropy());
  }
  return excess;
}

TEST(Synthetic, ExcessLossFallsAsThePredictedPowerOfData) {
  for (double zipf : {1.5, 2.0}) {
    const int64_t contexts = zipf < 1.75 ? 40000 : 4000, vocab = contexts + 8;
    const SyntheticSource source({.contexts = contexts, .zipf = zipf, .branching = 4}, vocab);
    double sx = 0, sy = 0, sxx = 0, sxy = 0;
    const int points = 5;
    for (int i = 0; i < points; ++i) {
      const int64_t answers = int64_t{1000} << i;
      const double x = std::log(static_cast<double>(answers));
      const double y = std::log(ExcessOfCounting(source, vocab, answers, 1));
      sx += x, sy += y, sxx += x * x, sxy += x * y;
    }
    const double slope = (points * sxy - sx * sy) / (points * sxx - sx * sx);
    EXPECT_NEAR(-slope, source.PredictedExponent(), 0.05) << "zipf " << zipf;
  }
}

// Summed by hand over one sequence, and near the entropy rate over many.
TEST(Synthetic, NegLogLikelihoodIsOfThePredictedTokens) {
  const SyntheticSource source({.contexts = 16, .branching = 4}, 40);
  const auto one = Sequence(source, kVal, 0, 0, 4);
  EXPECT_DOUBLE_EQ(source.NegLogLikelihood(one.data(), 4),
                   -std::log(source.AnswerProbability(one[0], one[1])) -
                       std::log(source.ContextProbability(one[2])) -
                       std::log(source.AnswerProbability(one[2], one[3])));
  double sum = 0;
  constexpr int64_t kSequences = 20000;
  for (int64_t i = 0; i < kSequences; ++i) {
    sum += source.NegLogLikelihood(Sequence(source, kVal, 0, i).data(), 33);
  }
  EXPECT_NEAR(sum / (32 * kSequences), source.EntropyRate(32), 0.005);
}

TEST(Synthetic, HashFollowsTheParameters) {
  const SyntheticSource a({.contexts = 64}, 128), b({.contexts = 64}, 128);
  EXPECT_EQ(a.Sha256(), b.Sha256());
  EXPECT_EQ(a.Sha256().size(), 64u);
  EXPECT_NE(a.Sha256(), SyntheticSource({.contexts = 64, .seed = 1}, 128).Sha256());
  EXPECT_NE(a.Sha256(), SyntheticSource({.contexts = 64}, 129).Sha256());
}

TEST(Synthetic, OneAnswerPerContextIsCertain) {
  const SyntheticSource source({.contexts = 8, .branching = 1}, 16);
  EXPECT_EQ(source.AnswerEntropy(), 0);
  EXPECT_DOUBLE_EQ(source.EntropyRate(2), source.ContextEntropy() / 2);
}

TEST(Synthetic, ImpossibleParametersAreRefused) {
  EXPECT_EQ(
      MessageOf<ShardError>([] { SyntheticSource({.contexts = 512, .branching = 8}, 256); }),
      "data.synthetic: 512 contexts and 8 answers need model.vocab of at least 520, and it is "
      "256; raise model.vocab or lower data.synthetic.contexts");
  EXPECT_THROW(SyntheticSource({.contexts = 1}, 256), ShardError);
  EXPECT_THROW(SyntheticSource({.contexts = 8, .branching = 0}, 256), ShardError);
  EXPECT_THROW(SyntheticSource({.contexts = 8, .zipf = 1.0}, 256), ShardError);
  EXPECT_THROW(SyntheticSource({.contexts = 8, .zipf = std::nan("")}, 256), ShardError);
}

}  // namespace
}  // namespace loglog
