#include "trainer/flops.h"

#include "trainer/layout.h"

namespace loglog {

ParamCount CountParams(const ModelConfig& model) {
  ParamCount count;
  for (const TensorSpec& tensor : MakeLayout(model).tensors) {
    count.total += tensor.size();
    if (tensor.kind != TensorKind::kEmbed && tensor.kind != TensorKind::kLmHead) {
      count.non_embedding += tensor.size();
    }
  }
  return count;
}

double MatmulFlopsPerToken(const ModelConfig& model) {
  const double d = model.d_model, kv = model.KvDim(), ff = model.d_ff;
  const double layer = 2 * d * d + 2 * d * kv + 3 * d * ff;
  return 6 * (model.layers * layer + static_cast<double>(model.vocab) * d);
}

double TrainFlopsPerToken(const ModelConfig& model) {
  const double d = model.d_model, length = model.seq_len;
  return MatmulFlopsPerToken(model) + 6 * model.layers * d * (length + 1);
}

}  // namespace loglog
