// The metrics that cost a forward pass or a decomposition, gathered every few hundred steps.
#ifndef LOGLOG_TRAINER_PROBES_H_
#define LOGLOG_TRAINER_PROBES_H_

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "trainer/config.h"
#include "trainer/engine.h"
#include "trainer/layout.h"
#include "trainer/model.h"

namespace loglog {

// The layers that are probed: all of up to four, else four evenly spread from first to last.
std::vector<int64_t> ProbeLayers(int64_t layers);

struct CondensationOptions {
  std::vector<double> frequencies;  // of each token id, in any unit
  int64_t top_tokens = 0;
  bool heads = false;
  bool spectra = false;
};

// cond/* of the probed layers' matrices, of the embedding and of an untied head. `weights` is one
// member's row in host memory. Cosines between the rows of a vocabulary of more than
// kMostCosineRows tokens are left out: they take V^2 d operations.
//   cond/embed_cos           mean over pairs of tokens
//   cond/embed_cos_weighted  pairs weighted by the product of the tokens' frequencies
//   cond/embed_cos_top       mean over pairs of the top_tokens most frequent ones
// With `heads` also .../<matrix>.heads.<h>: of q and o by query head, of k and v by key-value head.
// With `spectra` also cond/spectrum/<matrix>/<rank>, singular values by rank from 0, and
// cond/embed_spectrum/<rank>, eigenvalues of the embedding's covariance: at most kSeriesPoints
// each.
inline constexpr int64_t kMostCosineRows = 4096;
inline constexpr size_t kSeriesPoints = 64;
void AppendCondensation(const ModelConfig& model, const Layout& layout, const float* weights,
                        const CondensationOptions& options, std::vector<NamedValue>* values);

// attn/* and norm/ms_over_eps/*, summed over the forward passes that Add is shown. Of a model of
// one layer with at most kMostFocusTokens token ids also
//   focus/mass/<token>   attention that goes to positions which hold the token, a mean over queries
//                        after the first position;
//   focus/share/<token>  what even attention over the same positions would give.
inline constexpr int64_t kMostFocusTokens = 16;
class ActivationProbe {
 public:
  ActivationProbe(const ModelConfig& model, bool heads);

  // `work` holds a forward pass of one member over `tokens`.
  void Add(const Workspace& work, const int32_t* tokens);
  void Append(std::vector<NamedValue>* values) const;

 private:
  struct HeadSums {
    double entropy = 0;
    double first_token_mass = 0;
    double max_logit = 0;
    double rows = 0;  // queries after the first position
  };
  using LayerSums = std::vector<HeadSums>;  // by query head

  void AddAttention(const Workspace& work, const AttentionKept& kept, const int32_t* tokens,
                    LayerSums* sums);
  // One query's scores over its keys, before the scale.
  void AddQuery(const float* scores, int64_t keys, const int32_t* tokens, HeadSums* sums);
  void AddFocus(const float* scores, int64_t keys, double top, double total, const int32_t* tokens);
  void AppendFocus(std::vector<NamedValue>* values) const;
  // The mean square, about the mean for LayerNorm, of what goes into a norm.
  void AddNorm(const std::string& name, const NormSite& site);

  ModelConfig model_;
  double scale_;  // of attention scores
  bool heads_;
  std::vector<int64_t> layers_;
  std::vector<LayerSums> sums_;
  std::map<std::string, double> mean_squares_;  // sums over tokens, by norm
  double tokens_ = 0;
  std::vector<double> focus_mass_, focus_share_;  // by token id, sums over queries
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_PROBES_H_
