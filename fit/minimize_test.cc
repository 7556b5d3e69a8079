#include "fit/minimize.h"

#include <cmath>

#include "fit/form_fit.h"
#include "fit/planted_testing.h"
#include "fit/power_sum.h"
#include "gtest/gtest.h"

namespace loglog {
namespace {

PowerSum JointSample(double sd) {
  Noise noise(3);
  std::vector<std::vector<double>> ln_x(2);
  std::vector<double> y, weight;
  for (const double n : LogRange(5e7, 32, 6)) {
    for (const double d : LogRange(1e9, 32, 6)) {
      ln_x[0].push_back(std::log(n));
      ln_x[1].push_back(std::log(d));
      const double loss = 1.8 + 480 * std::pow(n, -0.35) + 2100 * std::pow(d, -0.37);
      y.push_back(std::log(loss) + sd * noise.Next());
      weight.push_back(1);
    }
  }
  return PowerSum(std::move(ln_x), std::move(y), std::move(weight));
}

// The coarse grid over (e, a, b, alpha, beta) that published fits start from.
std::vector<std::vector<double>> CrudeStarts(const PowerSum& form) {
  std::vector<std::vector<double>> starts;
  for (double alpha = 0; alpha <= 2; alpha += 0.5) {
    for (double beta = 0; beta <= 2; beta += 0.5) {
      for (double a = 0; a <= 25; a += 12.5) {
        for (double b = 0; b <= 25; b += 12.5) {
          starts.push_back(
              {0, a - alpha * form.ln_x_mean(0), alpha, b - beta * form.ln_x_mean(1), beta});
        }
      }
    }
  }
  return starts;
}

TEST(PowerSum, GradientsAgreeWithDifferences) {
  const PowerSum form = JointSample(0.003);
  const std::vector<double> theta = {0.4, -0.7, 0.3, -0.5, 0.45};
  for (const Loss loss : {Loss::Squares(), Loss::Huber(1e-3), Loss::Huber(1)}) {
    std::vector<double> gradient(5);
    form.Value(loss, theta.data(), gradient.data());
    for (int i = 0; i < 5; ++i) {
      std::vector<double> up = theta, down = theta;
      up[i] += 1e-6;
      down[i] -= 1e-6;
      const double slope =
          (form.Value(loss, up.data(), nullptr) - form.Value(loss, down.data(), nullptr)) / 2e-6;
      EXPECT_NEAR(gradient[i] / slope, 1, 1e-6) << i;
    }
  }
}

// Far from the data a term's size has no double; its logarithm has.
TEST(PowerSum, WrongWayOverflowOutsideLogSumExp) {
  const PowerSum form({{0, 2, 4}}, {1, 0.9, 0.85}, {1, 1, 1});
  const std::vector<double> theta = {0.4, 1000, 3};
  std::vector<double> gradient(3);
  EXPECT_NEAR(form.Predict(theta.data(), {2}), 1000, 1e-9);
  EXPECT_TRUE(std::isfinite(form.Value(Loss::Squares(), theta.data(), gradient.data())));
  EXPECT_NEAR(gradient[1], 2 * (1000 - 1 + 6 + 1000 - 0.9 + 1000 - 0.85 - 6), 1e-6);
}

TEST(PowerSum, JointLawWithoutNoiseIsRecovered) {
  const PowerSum form = JointSample(0);
  const Minimum minimum = MinimizeSquares(form, form.Starts());
  EXPECT_EQ(minimum.status, "CONVERGED");
  EXPECT_NEAR(form.Natural(minimum.theta.data(), 0), 1.8, 1e-8);
  EXPECT_NEAR(form.Natural(minimum.theta.data(), 1) / 480, 1, 1e-6);
  EXPECT_NEAR(form.Natural(minimum.theta.data(), 2), 0.35, 1e-8);
  EXPECT_NEAR(form.Natural(minimum.theta.data(), 3) / 2100, 1, 1e-6);
  EXPECT_NEAR(form.Natural(minimum.theta.data(), 4), 0.37, 1e-8);
}

// Unscaled, the optimizer stops early and reports success from every start; most of the
// ends are not the minimum. What we select by is the objective and the agreement.
TEST(Minimize, T22_unscaled_objective_stops_early_and_reports_success) {
  const PowerSum form = JointSample(0.003);
  const auto objective = [&](const double* theta, double* gradient) {
    return form.Value(Loss::Huber(1e-3), theta, gradient);
  };
  const Minimum best = MinimizeHuber(form, form.Starts(), 1e-3);
  EXPECT_EQ(best.status, "CONVERGED");
  EXPECT_EQ(best.starts_agreed, kStartsPolished);

  int claims = 0, unscaled = 0, scaled = 0;
  const std::vector<std::vector<double>> starts = CrudeStarts(form);
  const double limit = best.value * (1 + 1e-9);
  for (const std::vector<double>& start : starts) {
    const Polished end = Polish(objective, form.box(), start, 1);
    claims += end.claims_success;
    unscaled += end.value <= limit;
    scaled += Polish(objective, form.box(), start).value <= limit;
    EXPECT_GE(end.value, best.value * (1 - 1e-12)) << "a lower minimum than the accepted one";
  }
  const int n = static_cast<int>(starts.size());
  EXPECT_GT(claims, n * 9 / 10);
  EXPECT_LT(unscaled, n * 4 / 10);
  EXPECT_GT(scaled, unscaled);
}

TEST(Minimize, OptimizersOwnSuccessIsNoAcceptance) {
  // Two wells; starts on both sides. Every polish succeeds; too few find the lower.
  const auto wells = [](const double* x, double* gradient) {
    const double a = x[0] * x[0] - 1;
    if (gradient != nullptr) gradient[0] = 4 * a * x[0] + 0.1;
    return a * a + 0.1 * x[0];
  };
  const Box box = {{-3}, {3}};
  const std::vector<std::vector<double>> starts = {{0.9}, {1.0}, {1.1}, {-1.4}};
  const Minimum minimum = MinimizeFromStarts(wells, box, starts, 4, 0);
  EXPECT_LT(minimum.theta[0], 0);
  EXPECT_LT(minimum.starts_agreed, kStartsToAgree);
  EXPECT_EQ(minimum.status, "MULTIMODAL");
}

TEST(Minimize, ProjectedGradientIgnoresWhatPushesOut) {
  const Box box = {{0, 0, 0}, {1, 1, 1}};
  EXPECT_EQ(ProjectedGradient({0, 1, 0.5}, {5, -7, 0.25}, box), 0.25);
  EXPECT_EQ(ProjectedGradient({0, 1, 0.5}, {-5, 7, 0.25}, box), 7);
}

}  // namespace
}  // namespace loglog
