// The metrics that cost a forward pass or a decomposition, gathered every few hundred steps.
#ifndef LOGLOG_TRAINER_PROBES_H_
#define LOGLOG_TRAINER_PROBES_H_

#include <cstdint>
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
    double attn_ms = 0;
    double mlp_ms = 0;
  };

  void AddAttention(const LayerActivations& layer, LayerSums* sums) const;

  ModelConfig model_;
  std::vector<int64_t> layers_;
  std::vector<LayerSums> sums_;
  double final_ms_ = 0;
  double tokens_ = 0;
};

}  // namespace loglog

#endif  // LOGLOG_TRAINER_PROBES_H_
