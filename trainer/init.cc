#include "trainer/init.h"

#include <algorithm>
#include <cmath>

#include "trainer/philox.h"

namespace loglog {
namespace {

double Gamma(const InitConfig& init, TensorKind kind) {
  switch (kind) {
    case TensorKind::kEmbed:
      return init.gamma_embed.value_or(init.gamma);
    case TensorKind::kLmHead:
      return init.gamma_lm_head.value_or(init.gamma);
    case TensorKind::kQ:
    case TensorKind::kK:
      return init.gamma_qk.value_or(init.gamma);
    case TensorKind::kV:
    case TensorKind::kO:
      return init.gamma_vo.value_or(init.gamma);
    case TensorKind::kGate:
    case TensorKind::kUp:
      return init.gamma_mlp_in.value_or(init.gamma);
    case TensorKind::kDown:
      return init.gamma_mlp_out.value_or(init.gamma);
    case TensorKind::kPositions:
      return init.gamma_embed.value_or(init.gamma);
    default:
      return init.gamma;
  }
}

// A stream of the generator for each tensor, by its role and not by its place, so that
// models of different depth or head share the draws of the layers that they share.
uint32_t Stream(const TensorSpec& tensor) {
  return static_cast<uint32_t>(tensor.layer) * 16 + static_cast<uint32_t>(tensor.kind);
}

}  // namespace

int64_t DIn(const ModelConfig& model, const InitConfig& init, TensorKind kind) {
  if (init.d_in == DInRule::kFanIn && kind == TensorKind::kDown) return model.d_ff;
  if (init.d_in == DInRule::kFanIn && kind == TensorKind::kO) return model.QDim();
  return model.d_model;
}

double InitStd(const ModelConfig& model, const InitConfig& init, TensorKind kind) {
  double std = init.sigma
                   ? *init.sigma
                   : std::pow(static_cast<double>(DIn(model, init, kind)), -Gamma(init, kind));
  const bool writes_residual = kind == TensorKind::kO || kind == TensorKind::kDown;
  if (init.depth_factor == DepthFactor::kInvSqrt2L && writes_residual) {
    std /= std::sqrt(2.0 * static_cast<double>(model.layers));
  }
  return std;
}

void DrawWeights(const MemberConfig& member, const Layout& layout, float* row) {
  std::fill(row, row + layout.floats, 0.0f);
  for (const TensorSpec& tensor : layout.tensors) {
    float* values = row + tensor.offset;
    if (!tensor.is_matrix()) {
      std::fill(values, values + tensor.size(), tensor.bias ? 0.0f : 1.0f);
    } else {
      DrawNormal(static_cast<uint64_t>(member.seed), Stream(tensor),
                 InitStd(member.model, member.init, tensor.kind), tensor.size(), values);
    }
  }
}

double SampleStd(const float* values, int64_t count) {
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < count; ++i) sum += values[i];
  const double mean = sum / static_cast<double>(count);
  for (int64_t i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
  return std::sqrt(squares / static_cast<double>(count));
}

}  // namespace loglog
