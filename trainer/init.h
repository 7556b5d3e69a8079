// Initialization by rate: W ~ N(0, sigma^2) with sigma = d_in^-gamma for each tensor group.
#ifndef LOGLOG_TRAINER_INIT_H_
#define LOGLOG_TRAINER_INIT_H_

#include <cstdint>

#include "trainer/config.h"
#include "trainer/layout.h"

namespace loglog {

// The width that enters sigma = d_in^-gamma: the matrix's input width, or d_model
// everywhere by the rule d_model. Embedding and head take d_model by either rule.
int64_t DIn(const ModelConfig& model, const InitConfig& init, TensorKind kind);

// The standard deviation of a matrix. The depth factor 1 / sqrt(2 layers), when on,
// multiplies O and MLP-out, under a fixed sigma too.
double InitStd(const ModelConfig& model, const InitConfig& init, TensorKind kind);

// Fills one member's row: matrices drawn from the seed, gains 1, biases and padding 0.
void DrawWeights(const MemberConfig& member, const Layout& layout, float* row);

// The standard deviation of `count` values about their mean.
double SampleStd(const float* values, int64_t count);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_INIT_H_
