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
  if (!AllFinite(matrix, rows * cols)) return kNan;
  std::vector<double> total(static_cast<size_t>(cols));
  int64_t nonzero = 0;
  for (int64_t i = 0; i < rows; ++i) {
    const float* row = matrix + i * cols;
    const double norm = RowNorm(row, cols);
    if (norm == 0) continue;
    ++nonzero;
    for (int64_t j = 0; j < cols; ++j) total[j] += row[j] / norm;
  }
  double squares = 0;
  for (const double value : total) squares += value * value;
  return (squares - static_cast<double>(nonzero)) /
         (static_cast<double>(rows) * static_cast<double>(rows - 1));
}

SpectrumShape ShapeOfSpectrum(const float* matrix, int64_t rows, int64_t cols) {
  if (!AllFinite(matrix, rows * cols)) return {.stable_rank = kNan, .participation = kNan};
  // from_blob wants a mutable pointer; the data is only read.
  const at::Tensor w =
      at::from_blob(const_cast<float*>(matrix), {rows, cols}, at::kFloat).to(at::kDouble);
  const double largest = w.abs().max().item<double>();
  if (largest == 0) return {};
  // Scaled to the size of 1, so that squares of tiny weights keep their digits.
  const at::Tensor scaled = w / largest;
  const at::Tensor gram = rows < cols ? at::mm(scaled, scaled.t()) : at::mm(scaled.t(), scaled);
  const at::Tensor eigenvalues = at::linalg_eigvalsh(gram);
  double top = 0, sum_squares = 0, sum = 0;
  for (int64_t i = 0; i < eigenvalues.numel(); ++i) {
    const double square = std::max(0.0, eigenvalues.const_data_ptr<double>()[i]);
    top = std::max(top, square);
    sum_squares += square;
    sum += std::sqrt(square);
  }
  return {.stable_rank = sum_squares / top, .participation = sum * sum / sum_squares};
}

}  // namespace loglog
