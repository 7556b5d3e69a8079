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

// cond/* of the probed layers' matrices and of the embedding. `weights` is one member's row
// in host memory.
void AppendCondensation(const ModelConfig& model, const Layout& layout, const float* weights,
                        std::vector<NamedValue>* values);

// attn/* and norm/ms_over_eps/*, summed over the forward passes that Add is shown.
class ActivationProbe {
 public:
  explicit ActivationProbe(const ModelConfig& model);

  // `work` holds a forward pass of one member.
  void Add(const Workspace& work);
  void Append(std::vector<NamedValue>* values) const;

 private:
  struct LayerSums {
    double entropy = 0;
    double first_token_mass = 0;
    double max_logit = 0;
    double rows = 0;  // queries after the first position
  };

  void AddAttention(const LayerActivations& layer, LayerSums* sums) const;
  // The mean square, about the mean for LayerNorm, of what goes into a norm.
  void AddNorm(const std::string& name, const NormSite& site);

  ModelConfig model_;
  std::vector<int64_t> layers_;
  std::vector<LayerSums> sums_;
  std::map<std::string, double> mean_squares_;  // sums over tokens, by norm
  double tokens_ = 0;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_PROBES_H_
