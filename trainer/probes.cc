#include "trainer/probes.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "trainer/condensation.h"

namespace loglog {
namespace {

// The sum over tokens of the mean square of x [1, M, d].
double SumMeanSquares(const at::Tensor& x) {
  return x.to(at::kDouble).square().mean(-1).sum().item<double>();
}

}  // namespace

std::vector<int64_t> ProbeLayers(int64_t layers) {
  constexpr int64_t kMost = 4;
  std::vector<int64_t> probed;
  for (int64_t i = 0; i < std::min(layers, kMost); ++i) {
    probed.push_back(layers <= kMost ? i : (i * (layers - 1) + 1) / (kMost - 1));
  }
  return probed;
}

void AppendCondensation(const ModelConfig& model, const Layout& layout, const float* weights,
                        std::vector<NamedValue>* values) {
  for (const int64_t layer : ProbeLayers(model.layers)) {
    for (const TensorSpec& tensor : layout.tensors) {
      const bool in_layer = tensor.is_matrix() && tensor.group() != TensorGroup::kEmbed &&
                            tensor.group() != TensorGroup::kLmHead;
      if (!in_layer || tensor.layer != layer) continue;
      const float* matrix = weights + tensor.offset;
      const RowCosines cosines = CosinesOfRows(matrix, tensor.rows, tensor.cols);
      const SpectrumShape spectrum = ShapeOfSpectrum(matrix, tensor.rows, tensor.cols);
      values->push_back({"cond/cos_rows_abs/" + tensor.label, cosines.mean_abs});
      values->push_back({"cond/cos_rows_signed/" + tensor.label, cosines.mean_signed});
      values->push_back({"cond/cos_rows_share/" + tensor.label, cosines.share_above});
      values->push_back(
          {"cond/cos_rows_clusters/" + tensor.label, static_cast<double>(cosines.clusters)});
      values->push_back({"cond/stable_rank/" + tensor.label, spectrum.stable_rank});
      values->push_back({"cond/participation/" + tensor.label, spectrum.participation});
    }
  }
  const TensorSpec& embed = layout.Find(TensorKind::kEmbed);
  values->push_back(
      {"cond/embed_cos", MeanRowCosine(weights + embed.offset, embed.rows, embed.cols)});
}

ActivationProbe::ActivationProbe(const ModelConfig& model)
    : model_(model), layers_(ProbeLayers(model.layers)), sums_(layers_.size()) {
  for (LayerSums& sums : sums_) sums.max_logit = -std::numeric_limits<double>::infinity();
}

void ActivationProbe::Add(const Workspace& work) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerActivations& layer = work.layers[static_cast<size_t>(layers_[i])];
    const std::string name = "layers." + std::to_string(layers_[i]) + ".";
    AddNorm(name + "attn_norm", layer.attn_norm);
    AddNorm(name + "attn_post_norm", layer.attn_post_norm);
    AddNorm(name + "mlp_norm", layer.mlp_norm);
    AddNorm(name + "mlp_post_norm", layer.mlp_post_norm);
    AddAttention(layer, &sums_[i]);
  }
  AddNorm("embed_norm", work.embed_norm);
  AddNorm("final_norm", work.final_norm);
  tokens_ += static_cast<double>(work.x_final.size(1));
}

void ActivationProbe::AddNorm(const std::string& name, const NormSite& site) {
  if (!site.rstd.defined()) return;  // the model has no such norm
  const at::Tensor x = site.in.to(at::kDouble);
  const bool centered = model_.norm == NormKind::kLayer;
  mean_squares_[name] += SumMeanSquares(centered ? x - x.mean(-1, /*keepdim=*/true) : x);
}

void ActivationProbe::AddAttention(const LayerActivations& layer, LayerSums* sums) const {
  const int64_t length = model_.seq_len;
  const double scale = 1 / std::sqrt(static_cast<double>(model_.HeadDim()));
  // One key-value head of one sequence at a time: its scores are G * T rows of T.
  for (int64_t pair = 0; pair < layer.q.size(0); ++pair) {
    const auto part = [pair](const at::Tensor& tensor) { return tensor.narrow(0, pair, 1); };
    const at::Tensor scores =
        at::bmm(part(layer.q), part(layer.k).transpose(1, 2)).to(at::kCPU, at::kFloat).contiguous();
    const float* row = scores.const_data_ptr<float>();
    for (int64_t r = 0; r < scores.size(1); ++r, row += length) {
      const int64_t keys = r % length + 1;
      const double top = *std::max_element(row, row + keys) * scale;
      // A NaN must not hide behind the comparison.
      const bool nan = std::any_of(row, row + keys, [](float x) { return std::isnan(x); });
      sums->max_logit =
          nan ? std::numeric_limits<double>::quiet_NaN()
              : (std::isnan(sums->max_logit) ? sums->max_logit : std::max(sums->max_logit, top));
      if (keys == 1) continue;
      double total = 0, weighted = 0;
      for (int64_t i = 0; i < keys; ++i) {
        const double logit = row[i] * scale - top;
        const double weight = std::exp(logit);
        total += weight;
        weighted += weight * logit;
      }
      // -sum p ln p with p = e^logit / total.
      sums->entropy += std::log(total) - weighted / total;
      sums->first_token_mass += std::exp(row[0] * scale - top) / total;
      sums->rows += 1;
    }
  }
}

void ActivationProbe::Append(std::vector<NamedValue>* values) const {
  if (tokens_ == 0) return;
  const double ms_scale = 1 / (tokens_ * model_.norm_eps);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerSums& sums = sums_[i];
    const std::string layer = "layers." + std::to_string(layers_[i]);
    const double rows = std::max(1.0, sums.rows);
    values->push_back({"attn/entropy/" + layer, sums.entropy / rows});
    values->push_back({"attn/first_token_mass/" + layer, sums.first_token_mass / rows});
    values->push_back({"attn/max_logit/" + layer, sums.max_logit});
  }
  for (const auto& [name, sum] : mean_squares_) {
    values->push_back({"norm/ms_over_eps/" + name, sum * ms_scale});
  }
}

}  // namespace loglog
