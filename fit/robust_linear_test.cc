#include "fit/robust_linear.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "fit/minimize.h"
#include "fit/random.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

double Sum(const LinearResiduals& residuals, double delta, const std::vector<double>& x,
           std::vector<double>* gradient = nullptr) {
  if (gradient != nullptr) gradient->assign(x.size(), 0.0);
  double sum = 0;
  for (size_t i = 0; i < residuals.at_0.size(); ++i) {
    const double* row = residuals.jacobian.data() + i * x.size();
    double r = residuals.at_0[i];
    for (size_t j = 0; j < x.size(); ++j) r += row[j] * x[j];
    const double size = std::fabs(r);
    sum += residuals.weight[i] * (size <= delta ? 0.5 * r * r : delta * (size - 0.5 * delta));
    for (size_t j = 0; j < x.size() && gradient != nullptr; ++j) {
      (*gradient)[j] += residuals.weight[i] * std::clamp(r, -delta, delta) * row[j];
    }
  }
  return sum;
}

LinearResiduals Random(int points, int dim, uint64_t seed) {
  RandomStream random(seed, 0);
  LinearResiduals residuals;
  for (int i = 0; i < points; ++i) {
    // A fifth of the points are far off.
    residuals.at_0.push_back((i % 5 == 0 ? 1 : 0.01) * random.Normal());
    residuals.weight.push_back(1 + i % 3);
    for (int j = 0; j < dim; ++j) residuals.jacobian.push_back(j == 0 ? 1 : random.Normal());
  }
  return residuals;
}

TEST(RobustLinear, IsTheMedianOfOneConstant) {
  const LinearResiduals residuals = {
      .at_0 = {-5, -1, -3, -100, -2}, .jacobian = {1, 1, 1, 1, 1}, .weight = {1, 1, 1, 1, 1}};
  std::vector<double> x = {0};
  for (const double delta : {1e-3, 1e-6, 1e-9}) {
    MinimizeRobust(residuals, delta, &x);
    EXPECT_NEAR(x[0], 3, delta);
  }
}

TEST(RobustLinear, WithAWideDeltaIsLeastSquares) {
  const LinearResiduals residuals = {
      .at_0 = {-1, -2, -6}, .jacobian = {1, 1, 1}, .weight = {1, 1, 2}};
  std::vector<double> x = {0};
  MinimizeRobust(residuals, 1e3, &x);
  EXPECT_NEAR(x[0], 3.75, 1e-12);
}

TEST(RobustLinear, HasNoGradientLeftAndNoLowerPointForAnotherOptimizer) {
  for (uint64_t seed = 1; seed <= 50; ++seed) {
    const int dim = 1 + static_cast<int>(seed % 4);
    const LinearResiduals residuals = Random(8 + static_cast<int>(seed), dim, seed);
    std::vector<double> x(dim, 0.0);
    for (const double delta : {1e-2, 1e-3, 1e-6}) {
      MinimizeRobust(residuals, delta, &x);
      std::vector<double> gradient;
      const double value = Sum(residuals, delta, x, &gradient);
      for (const double component : gradient) {
        EXPECT_NEAR(component / delta, 0, 1e-6) << "seed " << seed << " delta " << delta;
      }
      Box box;
      box.low.assign(dim, -10);
      box.high.assign(dim, 10);
      const auto objective = [&](const double* at, double* g) {
        std::vector<double> own;
        const double of = Sum(residuals, delta, std::vector<double>(at, at + dim), &own);
        if (g != nullptr) std::copy(own.begin(), own.end(), g);
        return of;
      };
      const double other = Polish(objective, box, std::vector<double>(dim, 0.0), 1 / delta).value;
      EXPECT_LE(value, other * (1 + 1e-12)) << "seed " << seed << " delta " << delta;
    }
  }
}

}  // namespace
}  // namespace loglog
