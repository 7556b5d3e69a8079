#include <array>
#include <cmath>
#include <limits>

#include "plan/check.h"

namespace loglog {
namespace {

double NormalCdf(double z) { return 0.5 * std::erfc(-z / std::sqrt(2.0)); }

// Upper 5% point of Student's t: exact for 1 and 2 degrees of freedom, else the
// Cornish-Fisher expansion (Abramowitz and Stegun 26.7.5), within 1e-2 from 3 on.
double UpperFivePercentOfT(double freedom) {
  if (freedom < 1.5) return 6.313752;
  if (freedom < 2.5) return 2.919986;
  constexpr double z = 1.6448536;
  const double z3 = z * z * z, z5 = z3 * z * z, z7 = z5 * z * z;
  return z + (z3 + z) / (4 * freedom) + (5 * z5 + 16 * z3 + 3 * z) / (96 * freedom * freedom) +
         (3 * z7 + 19 * z5 + 17 * z3 - 15 * z) / (384 * freedom * freedom * freedom);
}

}  // namespace

double PairedPower(const std::vector<double>& log_x, double noise, double slope_difference) {
  const double n = static_cast<double>(log_x.size());
  if (log_x.size() < 3) return 0;
  double mean = 0, squares = 0;
  for (const double x : log_x) mean += x / n;
  for (const double x : log_x) squares += (x - mean) * (x - mean);
  if (squares < 1e-12) return 0;
  // A pair's difference has twice the variance of one trial.
  const double error = noise * std::sqrt(2 / squares);
  const double shift = std::abs(slope_difference) / error;
  const double freedom = n - 2, critical = UpperFivePercentOfT(freedom);
  // The usual normal approximation of the noncentral t distribution.
  return NormalCdf((shift - critical * (1 - 1 / (4 * freedom))) /
                   std::sqrt(1 + critical * critical / (2 * freedom)));
}

double BetaStandardError(const std::vector<double>& tokens, double noise) {
  // The curve planned with: beta = .37, and 40% of the loss above the floor at the middle
  // of the range, about as in published ladders below 1B tokens.
  constexpr double kBeta = 0.37, kExcess = 0.4;
  double middle = 0;
  for (const double d : tokens) middle += std::log(d) / static_cast<double>(tokens.size());
  // Fisher information of (E, ln B, beta) for ln L.
  std::array<std::array<double, 3>, 3> info{};
  for (const double d : tokens) {
    const double log_x = std::log(d) - middle;
    const double excess = kExcess * std::exp(-kBeta * log_x);
    const double loss = 1 - kExcess + excess;
    const std::array<double, 3> gradient = {1 / loss, excess / loss, -excess * log_x / loss};
    for (int i = 0; i < 3; ++i) {
      for (int j = 0; j < 3; ++j) info[i][j] += gradient[i] * gradient[j];
    }
  }
  const auto minor = [&](int r1, int r2, int c1, int c2) {
    return info[r1][c1] * info[r2][c2] - info[r1][c2] * info[r2][c1];
  };
  const double determinant = info[0][0] * minor(1, 2, 1, 2) - info[0][1] * minor(1, 2, 0, 2) +
                             info[0][2] * minor(1, 2, 0, 1);
  const double scale = info[0][0] * info[1][1] * info[2][2];
  if (!(determinant > 1e-14 * scale)) return std::numeric_limits<double>::infinity();
  return noise * std::sqrt(minor(0, 1, 0, 1) / determinant);
}

}  // namespace loglog
