#include "shards/synthetic.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>

#include "shards/random.h"
#include "shards/sha256.h"
#include "shards/token_shard.h"

namespace loglog {
namespace {

constexpr uint64_t kTableKey = 1;
constexpr uint64_t kTrainKey = 2;
constexpr uint64_t kValKey = 3;

// Cumulative sums of weights w_k = (k + 1)^-exponent over their total; and the entropy
// of that law, ln Z + exponent * sum p_k ln(k + 1).
std::vector<double> PowerLaw(int64_t size, double exponent, double* entropy) {
  std::vector<double> weight(size);
  for (int64_t k = 0; k < size; ++k) weight[k] = std::pow(static_cast<double>(k + 1), -exponent);
  // From the small end, so that the tail of a long law is not lost to rounding.
  double total = 0, mean_log = 0;
  for (int64_t k = size - 1; k >= 0; --k) {
    total += weight[k];
    mean_log += weight[k] * std::log(static_cast<double>(k + 1));
  }
  *entropy = std::log(total) + exponent * mean_log / total;
  double sum = 0;
  for (double& w : weight) w = (sum += w) / total;
  weight.back() = 1;
  return weight;
}

int64_t Draw(const std::vector<double>& cdf, double u) {
  return std::upper_bound(cdf.begin(), cdf.end(), u) - cdf.begin();
}

void Check(const SyntheticParams& p, int64_t vocab) {
  auto refuse = [](const std::string& what) { throw ShardError("data.synthetic" + what); };
  if (p.contexts < 2 || p.contexts > (1 << 24)) {
    refuse(".contexts: " + std::to_string(p.contexts) + " is outside 2 to 16777216");
  }
  if (!(p.zipf > 1 && p.zipf <= 10)) {
    refuse(
        ".zipf: the exponent must be above 1 (a power law needs a heavy tail that sums) "
        "and at most 10; 1.5 is the default");
  }
  if (p.branching < 1 || p.branching > 1'000'000) {
    refuse(".branching: " + std::to_string(p.branching) + " is outside 1 to 1000000");
  }
  if (vocab < p.contexts + p.branching) {
    refuse(": " + std::to_string(p.contexts) + " contexts and " + std::to_string(p.branching) +
           " answers need model.vocab of at least " + std::to_string(p.contexts + p.branching) +
           ", and it is " + std::to_string(vocab) +
           "; raise model.vocab or lower data.synthetic.contexts");
  }
}

}  // namespace

SyntheticSource::SyntheticSource(const SyntheticParams& params, int64_t vocab)
    : params_(params), vocab_(vocab) {
  Check(params, vocab);
  context_cdf_ = PowerLaw(params.contexts, params.zipf, &context_entropy_);
  answer_cdf_ = PowerLaw(params.branching, 1.0, &answer_entropy_);
  const int64_t alphabet = vocab - params.contexts;
  std::vector<int32_t> ids(alphabet);
  std::iota(ids.begin(), ids.end(), static_cast<int32_t>(params.contexts));
  answers_.reserve(params.contexts * params.branching);
  for (int64_t c = 0; c < params.contexts; ++c) {
    // The head of a Fisher-Yates shuffle. It goes on from the last context's order,
    // which is as good a start as any.
    const CounterRandom random(
        DeriveKey({kTableKey, static_cast<uint64_t>(params.seed), static_cast<uint64_t>(c)}));
    for (int64_t j = 0; j < params.branching; ++j) {
      std::swap(ids[j], ids[j + random.At(j) % (alphabet - j)]);
      answers_.push_back(ids[j]);
    }
  }
}

void SyntheticSource::Fill(Stream stream, int64_t order_seed, int64_t index, int64_t length,
                           int32_t* out) const {
  const CounterRandom random(DeriveKey(
      {stream == Stream::kTrain ? kTrainKey : kValKey, static_cast<uint64_t>(params_.seed),
       static_cast<uint64_t>(order_seed), static_cast<uint64_t>(index)}));
  int64_t context = 0;
  for (int64_t t = 0; t < length; ++t) {
    const double u = random.UniformAt(t);
    if (t % 2 == 0) {
      context = Draw(context_cdf_, u);
      out[t] = static_cast<int32_t>(context);
    } else {
      out[t] = answers_[context * params_.branching + Draw(answer_cdf_, u)];
    }
  }
}

double SyntheticSource::EntropyRate(int64_t seq_len) const {
  const int64_t contexts = seq_len / 2;
  const int64_t answers = seq_len - contexts;
  return (static_cast<double>(answers) * answer_entropy_ +
          static_cast<double>(contexts) * context_entropy_) /
         static_cast<double>(seq_len);
}

double SyntheticSource::ContextProbability(int64_t context) const {
  return context_cdf_[context] - (context == 0 ? 0 : context_cdf_[context - 1]);
}

double SyntheticSource::AnswerProbability(int64_t context, int32_t answer) const {
  for (int64_t j = 0; j < params_.branching; ++j) {
    if (answers_[context * params_.branching + j] == answer) {
      return answer_cdf_[j] - (j == 0 ? 0 : answer_cdf_[j - 1]);
    }
  }
  return 0;
}

double SyntheticSource::NegLogLikelihood(const int32_t* tokens, int64_t length) const {
  double sum = 0;
  for (int64_t t = 1; t < length; ++t) {
    sum -= std::log(t % 2 == 0 ? ContextProbability(tokens[t])
                               : AnswerProbability(tokens[t - 1], tokens[t]));
  }
  return sum;
}

std::string SyntheticSource::Sha256() const {
  char text[200];
  std::snprintf(
      text, sizeof text,
      "loglog synthetic 1: contexts %lld, zipf %.17g, branching %lld, seed %lld, vocab %lld",
      static_cast<long long>(params_.contexts), params_.zipf,
      static_cast<long long>(params_.branching), static_cast<long long>(params_.seed),
      static_cast<long long>(vocab_));
  return Sha256Hex(text);
}

}  // namespace loglog
