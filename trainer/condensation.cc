#include "trainer/condensation.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/Tensor.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/linalg_eigvalsh.h>
#include <ATen/ops/mm.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

namespace loglog {
namespace {

constexpr double kSameDirection = 0.7;
constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

bool AllFinite(const float* values, int64_t count) {
  return std::all_of(values, values + count, [](float value) { return std::isfinite(value); });
}

double RowNorm(const float* row, int64_t cols) {
  double squares = 0;
  for (int64_t j = 0; j < cols; ++j) squares += static_cast<double>(row[j]) * row[j];
  return std::sqrt(squares);
}

// Rows divided by their length; a zero row stays zero and is marked.
struct UnitRows {
  at::Tensor rows;
  std::vector<char> is_zero;

  UnitRows(const float* matrix, int64_t count, int64_t cols)
      : rows(at::empty({count, cols}, at::kFloat)), is_zero(static_cast<size_t>(count)) {
    float* to = rows.mutable_data_ptr<float>();
    for (int64_t i = 0; i < count; ++i) {
      const float* row = matrix + i * cols;
      const double norm = RowNorm(row, cols);
      is_zero[i] = norm == 0;
      const double scale = norm == 0 ? 0 : 1 / norm;
      for (int64_t j = 0; j < cols; ++j) to[i * cols + j] = static_cast<float>(row[j] * scale);
    }
  }
};

// |sum w_i u_i|^2 - sum w_i^2 over the rows that are not zero, u_i the unit rows: the sum of
// w_i w_j cos_ij over i != j.
double SquaredSumOfUnitRows(const float* matrix, int64_t rows, int64_t cols,
                            const std::vector<double>& weights) {
  std::vector<double> total(static_cast<size_t>(cols));
  double own = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const double weight = weights[static_cast<size_t>(i)];
    if (weight == 0) continue;
    const float* row = matrix + i * cols;
    const double norm = RowNorm(row, cols);
    if (!std::isfinite(norm)) return kNan;
    if (norm == 0) continue;
    own += weight * weight;
    for (int64_t j = 0; j < cols; ++j) total[static_cast<size_t>(j)] += weight * row[j] / norm;
  }
  double squares = 0;
  for (const double value : total) squares += value * value;
  return squares - own;
}

at::Tensor InDouble(const float* matrix, int64_t rows, int64_t cols) {
  // from_blob wants a mutable pointer; the data is only read.
  return at::from_blob(const_cast<float*>(matrix), {rows, cols}, at::kFloat).to(at::kDouble);
}

// The eigenvalues of the smaller Gram matrix, largest first; none below 0.
std::vector<double> GramEigenvalues(const at::Tensor& w) {
  const at::Tensor gram = w.size(0) < w.size(1) ? at::mm(w, w.t()) : at::mm(w.t(), w);
  const at::Tensor ascending = at::linalg_eigvalsh(gram);
  const double* values = ascending.const_data_ptr<double>();
  std::vector<double> descending(values, values + ascending.numel());
  std::reverse(descending.begin(), descending.end());
  for (double& value : descending) value = std::max(0.0, value);
  return descending;
}

}  // namespace

RowCosines CosinesOfRows(const float* matrix, int64_t rows, int64_t cols) {
  if (rows < 2) return {};
  if (!AllFinite(matrix, rows * cols)) {
    return {.mean_abs = kNan, .mean_signed = kNan, .share_above = kNan};
  }
  const UnitRows unit(matrix, rows, cols);
  const at::Tensor transposed = unit.rows.t();
  std::vector<char> taken = unit.is_zero;
  RowCosines result;
  double sum_abs = 0, sum = 0;
  int64_t above = 0;
  // A block of rows of S at a time, so that memory stays small for wide layers.
  constexpr int64_t kBlockRows = 256;
  for (int64_t begin = 0; begin < rows; begin += kBlockRows) {
    const int64_t size = std::min(kBlockRows, rows - begin);
    const at::Tensor block = at::mm(unit.rows.narrow(0, begin, size), transposed);
    for (int64_t i = begin; i < begin + size; ++i) {
      const float* cosines = block.const_data_ptr<float>() + (i - begin) * rows;
      const bool leads = !taken[i];
      if (leads) ++result.clusters;
      for (int64_t j = 0; j < rows; ++j) {
        if (j == i) continue;
        const double cosine = cosines[j];
        sum += cosine;
        sum_abs += std::abs(cosine);
        if (std::abs(cosine) > kSameDirection) {
          ++above;
          if (leads) taken[j] = 1;
        }
      }
    }
  }
  const double pairs = static_cast<double>(rows) * static_cast<double>(rows - 1);
  result.mean_abs = sum_abs / pairs;
  result.mean_signed = sum / pairs;
  result.share_above = static_cast<double>(above) / pairs;
  return result;
}

double MeanRowCosine(const float* matrix, int64_t rows, int64_t cols) {
  if (rows < 2) return 0;
  // A zero row is a row: it takes part in the pairs that are divided by.
  const double nonzero_sum =
      SquaredSumOfUnitRows(matrix, rows, cols, std::vector<double>(static_cast<size_t>(rows), 1.0));
  return nonzero_sum / (static_cast<double>(rows) * static_cast<double>(rows - 1));
}

double WeightedRowCosine(const float* matrix, int64_t rows, int64_t cols,
                         const std::vector<double>& weights) {
  double sum = 0, squares = 0;
  for (const double weight : weights) {
    sum += weight;
    squares += weight * weight;
  }
  const double pairs = sum * sum - squares;
  // Of a single weighted row nothing but rounding is left.
  if (!(pairs > 1e-12 * sum * sum)) return 0;
  return SquaredSumOfUnitRows(matrix, rows, cols, weights) / pairs;
}

std::vector<double> SingularValues(const float* matrix, int64_t rows, int64_t cols) {
  const size_t count = static_cast<size_t>(std::min(rows, cols));
  if (!AllFinite(matrix, rows * cols)) return std::vector<double>(count, kNan);
  const at::Tensor w = InDouble(matrix, rows, cols);
  const double largest = w.abs().max().item<double>();
  if (largest == 0) return std::vector<double>(count);
  // Scaled to the size of 1, so that squares of tiny weights keep their digits.
  std::vector<double> values = GramEigenvalues(w / largest);
  for (double& value : values) value = std::sqrt(value) * largest;
  return values;
}

std::vector<double> CovarianceSpectrum(const float* matrix, int64_t rows, int64_t cols) {
  const size_t count = static_cast<size_t>(std::min(rows, cols));
  if (!AllFinite(matrix, rows * cols)) return std::vector<double>(count, kNan);
  const at::Tensor w = InDouble(matrix, rows, cols);
  const at::Tensor centered = w - w.mean(0, /*keepdim=*/true);
  const double largest = centered.abs().max().item<double>();
  if (largest == 0) return std::vector<double>(count);
  std::vector<double> values = GramEigenvalues(centered / largest);
  for (double& value : values) value *= largest * largest / static_cast<double>(rows);
  return values;
}

SpectrumShape ShapeOf(const std::vector<double>& singular_values) {
  double sum_squares = 0, sum = 0;
  for (const double value : singular_values) {
    sum_squares += value * value;
    sum += value;
  }
  if (sum == 0) return {};
  const double top = singular_values.front();
  return {.stable_rank = sum_squares / (top * top), .participation = sum * sum / sum_squares};
}

SpectrumShape ShapeOfSpectrum(const float* matrix, int64_t rows, int64_t cols) {
  return ShapeOf(SingularValues(matrix, rows, cols));
}

}  // namespace loglog
