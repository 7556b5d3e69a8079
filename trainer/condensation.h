// How far a weight matrix has condensed: cosines between its rows (the neurons' input
// weights) and the shape of its singular spectrum. Plain row-major float matrices.
#ifndef LOGLOG_TRAINER_CONDENSATION_H_
#define LOGLOG_TRAINER_CONDENSATION_H_

#include <cstdint>
#include <vector>

namespace loglog {

// Over ordered pairs i != j of rows, S_ij their cosine; a zero row has cosine 0 with every
// row. Gaussian rows of width d: mean_abs is about sqrt(2 / (pi d)).
struct RowCosines {
  double mean_abs = 0;
  double mean_signed = 0;
  double share_above = 0;  // of pairs with |S| > 0.7
  // Greedy: in order, a row that no earlier leader took becomes a leader and takes every
  // free row with |S| > 0.7. Zero rows belong to no cluster.
  int64_t clusters = 0;
};

// All zero for fewer than two rows; NaN means (and no clusters) when the matrix is not finite.
RowCosines CosinesOfRows(const float* matrix, int64_t rows, int64_t cols);

// The mean cosine over pairs of rows, in time linear in their number:
// (|sum of unit rows|^2 - nonzero rows) / (rows (rows - 1)).
double MeanRowCosine(const float* matrix, int64_t rows, int64_t cols);

// The mean cosine over pairs i != j of rows with weights p_i p_j, in time linear in the rows:
// (|sum p_i u_i|^2 - sum p_i^2 over nonzero rows) / ((sum p_i)^2 - sum p_i^2), u_i the unit rows.
// Weights that are 1 for some rows and 0 for the others give the mean over those. 0 where fewer
// than two rows have a weight; NaN when the matrix is not finite. Weights are not negative.
double WeightedRowCosine(const float* matrix, int64_t rows, int64_t cols,
                         const std::vector<double>& weights);

// min(rows, cols) values, largest first; NaN each when the matrix is not finite.
std::vector<double> SingularValues(const float* matrix, int64_t rows, int64_t cols);

// The min(rows, cols) largest eigenvalues of (1 / rows) sum (row - mean)(row - mean)^T, largest
// first.
std::vector<double> CovarianceSpectrum(const float* matrix, int64_t rows, int64_t cols);

struct SpectrumShape {
  double stable_rank = 0;    // sum s^2 / max s^2
  double participation = 0;  // (sum s)^2 / sum s^2
};

// Of singular values, largest first; zero for a zero matrix.
SpectrumShape ShapeOf(const std::vector<double>& singular_values);

// From the eigenvalues of the smaller Gram matrix in double precision. Zero for a zero
// matrix, NaN when it is not finite.
SpectrumShape ShapeOfSpectrum(const float* matrix, int64_t rows, int64_t cols);

}  // namespace loglog

#endif  // LOGLOG_TRAINER_CONDENSATION_H_
