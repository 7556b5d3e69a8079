// The model, its gradient and AdamW in double precision, written as plain loops straight from
// the definitions and sharing nothing with the engine but the layout of the flat buffer. The
// gradient comes from a tape of scalar operations, so no derivative is worked out by hand.
#ifndef LOGLOG_TRAINER_REFERENCE_TESTING_H_
#define LOGLOG_TRAINER_REFERENCE_TESTING_H_

#include <cstdint>
#include <string>
#include <vector>

#include "trainer/config.h"
#include "trainer/engine.h"
#include "trainer/layout.h"

namespace loglog {

// Means over a batch, of each layer where they are vectors.
struct ReferenceObservations {
  std::vector<double> entropy, first_token_mass, max_logit;  // queries after the first
  std::vector<double> head_entropy, head_first_token_mass, head_max_logit;  // [layers, heads]
  std::vector<double> attn_ms, mlp_ms;  // mean square into each norm
  double final_ms = 0;
};

// Mean token loss of sequences [count, T + 1], over the tokens that are predicted (see
// Engine::TrainStep).
double ReferenceLoss(const ModelConfig& model, const std::vector<double>& weights,
                     const std::vector<int32_t>& tokens, ReferenceObservations* seen = nullptr);

struct ReferenceGradient {
  double loss = 0;               // with z-loss
  std::vector<double> gradient;  // same layout as the weights
};
ReferenceGradient ReferenceLossAndGradient(const ModelConfig& model,
                                           const std::vector<double>& weights,
                                           const std::vector<int32_t>& tokens, double z_loss = 0);

// AdamW of the definition, one member.
class ReferenceAdamW {
 public:
  ReferenceAdamW(const ModelConfig& model, const TrainConfig& train);
  // Returns the global gradient norm before clipping.
  double Step(int64_t step, const std::vector<double>& gradient, std::vector<double>* weights);

  const std::vector<double>& v() const { return v_; }

 private:
  int64_t d_model_;
  Layout layout_;
  TrainConfig train_;
  std::vector<double> m_, v_;
};

// A small member with sensible settings.
MemberConfig TinyMember(const ModelConfig& model, int64_t sequences, int64_t steps, int64_t seed);

// Uniform tokens [count, T + 1].
std::vector<int32_t> RandomTokens(const ModelConfig& model, int64_t count, uint32_t seed);

// One member's tensors of a kind ("weights", "adam_m", "adam_v") as a flat row.
std::vector<double> ReadFlat(const Engine& engine, const ModelConfig& model, int member,
                             const std::string& kind);
std::vector<char> ReadAll(const Engine& engine, int member);

double ValueOf(const std::vector<NamedValue>& values, const std::string& name);

// |a - b| / max(|b|, floor), Euclidean, over [begin, begin + size).
double RelativeError(const std::vector<double>& a, const std::vector<double>& b, int64_t begin,
                     int64_t size, double floor = 1e-30);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_REFERENCE_TESTING_H_
