#include "trainer/probes.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/bmm.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "trainer/condensation.h"

namespace loglog {
namespace {

// The ranks of a series that become points: all of a short one; of a long one the first half and
// then ones that lie apart by the same factor, with the last. A store knows so many names at most.
std::vector<size_t> RanksOf(size_t size) {
  std::vector<size_t> ranks;
  for (size_t i = 0; i < std::min(size, kSeriesPoints); ++i) ranks.push_back(i);
  if (size <= kSeriesPoints) return ranks;
  constexpr size_t kHalf = kSeriesPoints / 2;
  const double factor = static_cast<double>(size - 1) / static_cast<double>(kHalf - 1);
  for (size_t i = 1; i <= kHalf; ++i) {
    const double share = static_cast<double>(i) / static_cast<double>(kHalf);
    const double rank = static_cast<double>(kHalf - 1) * std::pow(factor, share);
    // Ranks rise by one at least, however close the factor is to 1.
    ranks[kHalf - 1 + i] =
        std::max(static_cast<size_t>(std::llround(rank)), ranks[kHalf - 2 + i] + 1);
  }
  ranks.back() = size - 1;
  return ranks;
}

// One value each as <name>/<rank from 0>.
void AppendSeries(const std::string& name, const std::vector<double>& series,
                  std::vector<NamedValue>* values) {
  for (const size_t rank : RanksOf(series.size())) {
    values->push_back({name + "/" + std::to_string(rank), series[rank]});
  }
}

// The sum over tokens of the mean square of x [1, M, d].
double SumMeanSquares(const at::Tensor& x) {
  return x.to(at::kDouble).square().mean(-1).sum().item<double>();
}

// cond/* of one matrix, named by `label`.
void AppendMatrix(const std::string& label, const float* matrix, int64_t rows, int64_t cols,
                  bool spectra, std::vector<NamedValue>* values) {
  if (rows <= kMostCosineRows) {
    const RowCosines cosines = CosinesOfRows(matrix, rows, cols);
    values->push_back({"cond/cos_rows_abs/" + label, cosines.mean_abs});
    values->push_back({"cond/cos_rows_signed/" + label, cosines.mean_signed});
    values->push_back({"cond/cos_rows_share/" + label, cosines.share_above});
    values->push_back({"cond/cos_rows_clusters/" + label, static_cast<double>(cosines.clusters)});
  }
  const std::vector<double> singular = SingularValues(matrix, rows, cols);
  const SpectrumShape shape = ShapeOf(singular);
  values->push_back({"cond/stable_rank/" + label, shape.stable_rank});
  values->push_back({"cond/participation/" + label, shape.participation});
  if (spectra) AppendSeries("cond/spectrum/" + label, singular, values);
}

// The rows of the matrix that belong to each head; of W_O its columns.
void AppendHeads(const ModelConfig& model, const TensorSpec& tensor, const float* matrix,
                 std::vector<NamedValue>* values) {
  const int64_t width = model.HeadDim();
  const bool by_columns = tensor.kind == TensorKind::kO;
  const int64_t heads = (by_columns ? tensor.cols : tensor.rows) / width;
  for (int64_t head = 0; head < heads; ++head) {
    const std::string label = tensor.label + ".heads." + std::to_string(head);
    if (!by_columns) {
      AppendMatrix(label, matrix + head * width * tensor.cols, width, tensor.cols, false, values);
      continue;
    }
    std::vector<float> block;
    for (int64_t row = 0; row < tensor.rows; ++row) {
      const float* from = matrix + row * tensor.cols + head * width;
      block.insert(block.end(), from, from + width);
    }
    AppendMatrix(label, block.data(), tensor.rows, width, false, values);
  }
}

bool IsOfHeads(TensorKind kind) {
  return kind == TensorKind::kQ || kind == TensorKind::kK || kind == TensorKind::kV ||
         kind == TensorKind::kO;
}

// 1 for the `count` most frequent ids, of equals the lower, else 0.
std::vector<double> MostFrequent(const std::vector<double>& frequencies, int64_t count) {
  std::vector<size_t> order(frequencies.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return frequencies[a] > frequencies[b]; });
  order.resize(std::min(order.size(), static_cast<size_t>(count)));
  std::vector<double> chosen(frequencies.size());
  for (const size_t id : order) chosen[id] = 1;
  return chosen;
}

void AppendEmbedding(const TensorSpec& embed, const float* matrix,
                     const CondensationOptions& options, std::vector<NamedValue>* values) {
  const auto weighted = [&](const std::vector<double>& weights) {
    return WeightedRowCosine(matrix, embed.rows, embed.cols, weights);
  };
  values->push_back({"cond/embed_cos", MeanRowCosine(matrix, embed.rows, embed.cols)});
  values->push_back({"cond/embed_cos_weighted", weighted(options.frequencies)});
  values->push_back(
      {"cond/embed_cos_top", weighted(MostFrequent(options.frequencies, options.top_tokens))});
  if (options.spectra) {
    AppendSeries("cond/embed_spectrum", CovarianceSpectrum(matrix, embed.rows, embed.cols), values);
  }
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
                        const CondensationOptions& options, std::vector<NamedValue>* values) {
  for (const int64_t layer : ProbeLayers(model.layers)) {
    for (const TensorSpec& tensor : layout.tensors) {
      if (!tensor.is_matrix() || !tensor.in_layer || tensor.layer != layer) continue;
      const float* matrix = weights + tensor.offset;
      AppendMatrix(tensor.label, matrix, tensor.rows, tensor.cols, options.spectra, values);
      if (options.heads && IsOfHeads(tensor.kind)) AppendHeads(model, tensor, matrix, values);
    }
  }
  const auto whole = [&](const TensorSpec& tensor) {
    AppendMatrix(tensor.label, weights + tensor.offset, tensor.rows, tensor.cols, options.spectra,
                 values);
  };
  const TensorSpec& embed = layout.Find(TensorKind::kEmbed);
  whole(embed);
  if (!model.tied_head) whole(layout.Find(TensorKind::kLmHead));
  AppendEmbedding(embed, weights + embed.offset, options, values);
}

ActivationProbe::ActivationProbe(const ModelConfig& model, bool heads)
    : model_(model),
      scale_(1 / std::sqrt(static_cast<double>(model.HeadDim()))),
      heads_(heads),
      layers_(ProbeLayers(model.layers)),
      sums_(layers_.size()) {
  for (LayerSums& layer : sums_) {
    layer.resize(static_cast<size_t>(model.heads));
    for (HeadSums& sums : layer) sums.max_logit = -std::numeric_limits<double>::infinity();
  }
  if (model.layers == 1 && model.vocab <= kMostFocusTokens) {
    focus_mass_.resize(static_cast<size_t>(model.vocab));
    focus_share_.resize(static_cast<size_t>(model.vocab));
  }
}

void ActivationProbe::Add(const Workspace& work, const int32_t* tokens) {
  for (size_t i = 0; i < layers_.size(); ++i) {
    const LayerActivations& layer = work.layers[static_cast<size_t>(layers_[i])];
    const std::string name = "layers." + std::to_string(layers_[i]) + ".";
    AddNorm(name + "attn_norm", layer.attn_norm);
    AddNorm(name + "attn_post_norm", layer.attn_post_norm);
    AddNorm(name + "mlp_norm", layer.mlp_norm);
    AddNorm(name + "mlp_post_norm", layer.mlp_post_norm);
    AddAttention(work, layer.attn, tokens, &sums_[i]);
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

void ActivationProbe::AddAttention(const Workspace& work, const AttentionKept& kept,
                                   const int32_t* tokens, LayerSums* sums) {
  const int64_t length = model_.seq_len, group = model_.heads / model_.kv_heads;
  const auto by_head = [&](const at::Tensor& heads, int64_t rows) {
    if (!work.heads_by_token) return heads;
    return heads.view({-1, length, heads.size(2), heads.size(3)})
        .transpose(1, 2)
        .reshape({-1, rows, heads.size(3)});
  };
  const at::Tensor q = by_head(kept.q, group * length), k = by_head(kept.k, length);
  // One key-value head of one sequence at a time: its scores are G * T rows of T.
  for (int64_t pair = 0; pair < q.size(0); ++pair) {
    const auto part = [pair](const at::Tensor& tensor) { return tensor.narrow(0, pair, 1); };
    const at::Tensor scores =
        at::bmm(part(q), part(k).transpose(1, 2)).to(at::kCPU, at::kFloat).contiguous();
    const float* row = scores.const_data_ptr<float>();
    const int32_t* sequence = tokens + pair / model_.kv_heads * length;
    for (int64_t r = 0; r < scores.size(1); ++r, row += length) {
      const int64_t head = pair % model_.kv_heads * group + r / length;
      AddQuery(row, r % length + 1, sequence, &(*sums)[static_cast<size_t>(head)]);
    }
  }
}

void ActivationProbe::AddQuery(const float* scores, int64_t keys, const int32_t* tokens,
                               HeadSums* sums) {
  const double top = *std::max_element(scores, scores + keys) * scale_;
  // A NaN must not hide behind the comparison.
  const bool nan = std::any_of(scores, scores + keys, [](float x) { return std::isnan(x); });
  sums->max_logit =
      nan ? std::numeric_limits<double>::quiet_NaN()
          : (std::isnan(sums->max_logit) ? sums->max_logit : std::max(sums->max_logit, top));
  if (keys == 1) return;
  double total = 0, weighted = 0;
  for (int64_t i = 0; i < keys; ++i) {
    const double logit = scores[i] * scale_ - top;
    const double weight = std::exp(logit);
    total += weight;
    weighted += weight * logit;
  }
  // -sum p ln p with p = e^logit / total.
  sums->entropy += std::log(total) - weighted / total;
  sums->first_token_mass += std::exp(scores[0] * scale_ - top) / total;
  sums->rows += 1;
  if (!focus_mass_.empty()) AddFocus(scores, keys, top, total, tokens);
}

void ActivationProbe::AddFocus(const float* scores, int64_t keys, double top, double total,
                               const int32_t* tokens) {
  for (int64_t i = 0; i < keys; ++i) {
    const size_t token = static_cast<size_t>(tokens[i]);
    focus_mass_[token] += std::exp(scores[i] * scale_ - top) / total;
    focus_share_[token] += 1 / static_cast<double>(keys);
  }
}

void ActivationProbe::AppendFocus(std::vector<NamedValue>* values) const {
  double rows = 0;
  for (const HeadSums& head : sums_[0]) rows += head.rows;
  if (rows == 0) return;
  for (size_t token = 0; token < focus_mass_.size(); ++token) {
    const std::string name = std::to_string(token);
    values->push_back({"focus/mass/" + name, focus_mass_[token] / rows});
    values->push_back({"focus/share/" + name, focus_share_[token] / rows});
  }
}

void ActivationProbe::Append(std::vector<NamedValue>* values) const {
  if (tokens_ == 0) return;
  const auto append = [values](const std::string& name, const HeadSums& sums) {
    const double rows = std::max(1.0, sums.rows);
    values->push_back({"attn/entropy/" + name, sums.entropy / rows});
    values->push_back({"attn/first_token_mass/" + name, sums.first_token_mass / rows});
    values->push_back({"attn/max_logit/" + name, sums.max_logit});
  };
  for (size_t i = 0; i < layers_.size(); ++i) {
    const std::string layer = "layers." + std::to_string(layers_[i]);
    HeadSums all = sums_[i][0];
    for (size_t head = 1; head < sums_[i].size(); ++head) {
      const HeadSums& own = sums_[i][head];
      all.entropy += own.entropy;
      all.first_token_mass += own.first_token_mass;
      all.rows += own.rows;
      if (!(all.max_logit >= own.max_logit) && !std::isnan(all.max_logit)) {
        all.max_logit = own.max_logit;
      }
    }
    append(layer, all);
    if (!heads_) continue;
    for (size_t head = 0; head < sums_[i].size(); ++head) {
      append(layer + ".heads." + std::to_string(head), sums_[i][head]);
    }
  }
  const double ms_scale = 1 / (tokens_ * model_.norm_eps);
  for (const auto& [name, sum] : mean_squares_) {
    values->push_back({"norm/ms_over_eps/" + name, sum * ms_scale});
  }
  if (!focus_mass_.empty()) AppendFocus(values);
}

}  // namespace loglog
