// The condensation metrics against the formulas in plain double loops.
#include "trainer/condensation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>
#include <string>
#include <vector>

namespace loglog {
namespace {

struct Matrix {
  std::string name;
  int64_t rows;
  int64_t cols;
  std::vector<float> values;

  double at(int64_t i, int64_t j) const { return values[i * cols + j]; }
};

Matrix Gaussian(const std::string& name, int64_t rows, int64_t cols, double scale) {
  std::mt19937 random(static_cast<uint32_t>(rows * 1000 + cols));
  std::normal_distribution<double> normal(0, scale);
  Matrix matrix = {name, rows, cols, {}};
  for (int64_t i = 0; i < rows * cols; ++i) {
    matrix.values.push_back(static_cast<float>(normal(random)));
  }
  return matrix;
}

Matrix RankOne(int64_t rows, int64_t cols) {
  const Matrix u = Gaussian("u", rows, 1, 1), v = Gaussian("v", 1, cols, 1);
  Matrix matrix = {"rank_one", rows, cols, {}};
  for (int64_t i = 0; i < rows * cols; ++i) {
    matrix.values.push_back(u.values[i / cols] * v.values[i % cols]);
  }
  return matrix;
}

// Rows around three directions, one of them in both signs, and some zero rows.
Matrix Clusters(int64_t rows, int64_t cols) {
  const Matrix centers = Gaussian("centers", 3, cols, 1);
  const Matrix noise = Gaussian("noise", rows, cols, 0.05);
  Matrix matrix = {"clusters", rows, cols, {}};
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < cols; ++j) {
      const double sign = i % 2 == 0 ? 1 : -1;
      const bool zero = i % 7 == 3;
      const double center = centers.at(i % 3, j) * (i % 3 == 0 ? sign : 1);
      matrix.values.push_back(zero ? 0 : static_cast<float>(center + noise.at(i, j)));
    }
  }
  return matrix;
}

std::vector<Matrix> Matrices() {
  return {Gaussian("wide", 20, 33, 1),
          Gaussian("tall", 300, 12, 1),
          Gaussian("tiny", 24, 16, 1e-9),
          Gaussian("one_row", 1, 9, 1),
          RankOne(18, 11),
          Clusters(70, 24),
          {"zero", 5, 4, std::vector<float>(20, 0.0f)}};
}

double Cosine(const Matrix& w, int64_t a, int64_t b) {
  double dot = 0, aa = 0, bb = 0;
  for (int64_t j = 0; j < w.cols; ++j) {
    dot += w.at(a, j) * w.at(b, j);
    aa += w.at(a, j) * w.at(a, j);
    bb += w.at(b, j) * w.at(b, j);
  }
  return aa == 0 || bb == 0 ? 0 : dot / std::sqrt(aa * bb);
}

RowCosines PlainCosines(const Matrix& w) {
  RowCosines result;
  double pairs = 0;
  std::vector<char> free(w.rows, 1);
  for (int64_t i = 0; i < w.rows; ++i) {
    for (int64_t j = 0; j < w.rows; ++j) {
      if (i == j) continue;
      const double s = Cosine(w, i, j);
      pairs += 1;
      result.mean_abs += std::abs(s);
      result.mean_signed += s;
      result.share_above += std::abs(s) > 0.7 ? 1 : 0;
    }
    double squares = 0;
    for (int64_t j = 0; j < w.cols; ++j) squares += w.at(i, j) * w.at(i, j);
    if (!free[i] || squares == 0) continue;
    ++result.clusters;
    for (int64_t j = 0; j < w.rows; ++j) {
      if (std::abs(Cosine(w, i, j)) > 0.7) free[j] = 0;
    }
  }
  if (pairs == 0) return {};
  result.mean_abs /= pairs;
  result.mean_signed /= pairs;
  result.share_above /= pairs;
  return result;
}

// Singular values by one-sided Jacobi rotations of the columns.
std::vector<double> JacobiSingularValues(const Matrix& w) {
  std::vector<std::vector<double>> columns(w.cols, std::vector<double>(w.rows));
  for (int64_t i = 0; i < w.rows; ++i) {
    for (int64_t j = 0; j < w.cols; ++j) columns[j][i] = w.at(i, j);
  }
  const auto dot = [](const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  };
  for (int sweep = 0; sweep < 30; ++sweep) {
    for (int64_t p = 0; p < w.cols; ++p) {
      for (int64_t q = p + 1; q < w.cols; ++q) {
        const double pq = dot(columns[p], columns[q]);
        if (pq == 0) continue;
        const double zeta = (dot(columns[q], columns[q]) - dot(columns[p], columns[p])) / (2 * pq);
        const double t = (zeta >= 0 ? 1 : -1) / (std::abs(zeta) + std::sqrt(1 + zeta * zeta));
        const double c = 1 / std::sqrt(1 + t * t), s = c * t;
        for (int64_t i = 0; i < w.rows; ++i) {
          const double a = columns[p][i], b = columns[q][i];
          columns[p][i] = c * a - s * b;
          columns[q][i] = s * a + c * b;
        }
      }
    }
  }
  std::vector<double> values;
  for (const auto& column : columns) values.push_back(std::sqrt(dot(column, column)));
  return values;
}

TEST(Condensation, CosinesEqualTheFormulas) {
  for (const Matrix& w : Matrices()) {
    SCOPED_TRACE(w.name);
    const RowCosines got = CosinesOfRows(w.values.data(), w.rows, w.cols);
    const RowCosines expected = PlainCosines(w);
    EXPECT_NEAR(got.mean_abs, expected.mean_abs, 1e-6);
    EXPECT_NEAR(got.mean_signed, expected.mean_signed, 1e-6);
    EXPECT_NEAR(got.share_above, expected.share_above, 1e-12);
    EXPECT_EQ(got.clusters, expected.clusters);
    EXPECT_NEAR(MeanRowCosine(w.values.data(), w.rows, w.cols), expected.mean_signed, 1e-9);
  }
}

TEST(Condensation, SpectrumEqualsTheFormulas) {
  for (const Matrix& w : Matrices()) {
    SCOPED_TRACE(w.name);
    const SpectrumShape got = ShapeOfSpectrum(w.values.data(), w.rows, w.cols);
    double top = 0, squares = 0, sum = 0;
    for (const double s : JacobiSingularValues(w)) {
      top = std::max(top, s);
      squares += s * s;
      sum += s;
    }
    if (top == 0) {
      EXPECT_EQ(got.stable_rank, 0);
      EXPECT_EQ(got.participation, 0);
      continue;
    }
    EXPECT_NEAR(got.stable_rank, squares / (top * top), 1e-9 * squares / (top * top));
    EXPECT_NEAR(got.participation, sum * sum / squares, 1e-5 * sum * sum / squares);
  }
}

TEST(Condensation, SingularValuesEqualTheFormulas) {
  for (const Matrix& w : Matrices()) {
    SCOPED_TRACE(w.name);
    const std::vector<double> got = SingularValues(w.values.data(), w.rows, w.cols);
    std::vector<double> expected = JacobiSingularValues(w);
    std::sort(expected.rbegin(), expected.rend());
    ASSERT_EQ(got.size(), static_cast<size_t>(std::min(w.rows, w.cols)));
    // Squares go through the Gram matrix: half of the digits are left for the smallest.
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], expected[i], 2e-7 * expected[0]);
  }
}

// Against the singular values of the centered rows, which share nothing with the eigenvalues of a
// Gram matrix.
TEST(Condensation, CovarianceSpectrumEqualsTheFormula) {
  for (const Matrix& w : Matrices()) {
    SCOPED_TRACE(w.name);
    Matrix centered = w;
    for (int64_t j = 0; j < w.cols; ++j) {
      double mean = 0;
      for (int64_t i = 0; i < w.rows; ++i) mean += w.at(i, j) / static_cast<double>(w.rows);
      for (int64_t i = 0; i < w.rows; ++i) {
        centered.values[i * w.cols + j] = static_cast<float>(w.at(i, j) - mean);
      }
    }
    std::vector<double> expected = JacobiSingularValues(centered);
    std::sort(expected.rbegin(), expected.rend());
    const std::vector<double> got = CovarianceSpectrum(w.values.data(), w.rows, w.cols);
    ASSERT_EQ(got.size(), static_cast<size_t>(std::min(w.rows, w.cols)));
    const double top = expected[0] * expected[0] / static_cast<double>(w.rows);
    for (size_t i = 0; i < got.size(); ++i) {
      const double eigenvalue = expected[i] * expected[i] / static_cast<double>(w.rows);
      EXPECT_NEAR(got[i], eigenvalue, 1e-6 * top) << i;
    }
  }
}

TEST(Condensation, WeightedCosineEqualsTheFormula) {
  for (const Matrix& w : Matrices()) {
    SCOPED_TRACE(w.name);
    std::vector<std::vector<double>> weightings(3, std::vector<double>(w.rows));
    for (int64_t i = 0; i < w.rows; ++i) {
      weightings[0][i] = 1.0 / static_cast<double>(1 + i);  // Zipf
      weightings[1][i] = i % 3 == 0 ? 1 : 0;                // a choice of rows
      weightings[2][i] = i == 0 ? 2 : 0;                    // a single one: no pair
    }
    for (const std::vector<double>& weights : weightings) {
      double sum = 0, pairs = 0;
      for (int64_t i = 0; i < w.rows; ++i) {
        for (int64_t j = 0; j < w.rows; ++j) {
          if (i == j) continue;
          sum += weights[i] * weights[j] * Cosine(w, i, j);
          pairs += weights[i] * weights[j];
        }
      }
      EXPECT_NEAR(WeightedRowCosine(w.values.data(), w.rows, w.cols, weights),
                  pairs == 0 ? 0 : sum / pairs, 1e-9);
    }
    EXPECT_NEAR(WeightedRowCosine(w.values.data(), w.rows, w.cols, std::vector<double>(w.rows, 3)),
                MeanRowCosine(w.values.data(), w.rows, w.cols), 1e-12);
  }
}

TEST(Condensation, KnowsTheExtremes) {
  const Matrix one = RankOne(18, 11);
  const RowCosines cosines = CosinesOfRows(one.values.data(), 18, 11);
  EXPECT_NEAR(cosines.mean_abs, 1, 1e-6);
  EXPECT_EQ(cosines.share_above, 1);
  EXPECT_EQ(cosines.clusters, 1);
  EXPECT_NEAR(ShapeOfSpectrum(one.values.data(), 18, 11).stable_rank, 1, 1e-9);
  const Matrix clusters = Clusters(70, 24);
  EXPECT_EQ(CosinesOfRows(clusters.values.data(), 70, 24).clusters, 3);
  // Random rows: E|S| = sqrt(2 / (pi d)); Gaussian stable rank n m / (sqrt n + sqrt m)^2.
  const Matrix random = Gaussian("random", 600, 128, 1);
  EXPECT_NEAR(CosinesOfRows(random.values.data(), 600, 128).mean_abs, std::sqrt(2 / (M_PI * 128)),
              2e-3);
  const double baseline = 600.0 * 128 / std::pow(std::sqrt(600.0) + std::sqrt(128.0), 2);
  EXPECT_NEAR(ShapeOfSpectrum(random.values.data(), 600, 128).stable_rank, baseline,
              0.05 * baseline);
}

TEST(Condensation, NonFiniteMatricesGiveNan) {
  for (const float bad :
       {std::numeric_limits<float>::quiet_NaN(), std::numeric_limits<float>::infinity()}) {
    Matrix w = Gaussian("bad", 6, 5, 1);
    w.values[13] = bad;
    EXPECT_TRUE(std::isnan(CosinesOfRows(w.values.data(), 6, 5).mean_abs));
    EXPECT_TRUE(std::isnan(MeanRowCosine(w.values.data(), 6, 5)));
    EXPECT_TRUE(std::isnan(WeightedRowCosine(w.values.data(), 6, 5, std::vector<double>(6, 1))));
    EXPECT_TRUE(std::isnan(SingularValues(w.values.data(), 6, 5)[4]));
    EXPECT_TRUE(std::isnan(CovarianceSpectrum(w.values.data(), 6, 5)[0]));
    EXPECT_TRUE(std::isnan(ShapeOfSpectrum(w.values.data(), 6, 5).stable_rank));
    EXPECT_TRUE(std::isnan(ShapeOfSpectrum(w.values.data(), 6, 5).participation));
  }
}

}  // namespace
}  // namespace loglog
