#include "trainer/flops.h"

#include "trainer/layout.h"

namespace loglog {

int MlpMatrices(MlpKind mlp) {
  switch (mlp) {
    case MlpKind::kSwiGlu:
      return 3;
    case MlpKind::kGelu:
    case MlpKind::kRelu:
      return 2;
    case MlpKind::kNone:
      return 0;
  }
  return 0;
}

ParamCount CountParams(const ModelConfig& model) {
  ParamCount count;
  for (const TensorSpec& tensor : MakeLayout(model).tensors) {
    count.total += tensor.size();
    const bool embedding = tensor.kind == TensorKind::kEmbed ||
                           tensor.kind == TensorKind::kPositions ||
                           tensor.kind == TensorKind::kLmHead;
    if (!embedding) count.non_embedding += tensor.size();
  }
  return count;
}

double MatmulFlopsPerToken(const ModelConfig& model) {
  const double d = model.d_model, q = model.QDim(), kv = model.KvDim(), ff = model.d_ff;
  const double layer =
      (model.gated_attention ? 3 : 2) * d * q + 2 * d * kv + MlpMatrices(model.mlp) * d * ff;
  return 6 * (model.layers * layer + static_cast<double>(model.vocab) * d);
}

double TrainFlopsPerToken(const ModelConfig& model) {
  const double q = model.QDim(), length = model.seq_len;
  return MatmulFlopsPerToken(model) + 6 * model.layers * q * (length + 1);
}

}  // namespace loglog
