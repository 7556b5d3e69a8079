#include "fit/profile.h"

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "base/check.h"
#include "boost/math/tools/toms748_solve.hpp"

namespace loglog {
namespace {

struct Step {
  double value;  // of the profiled parameter
  double rss;
  std::vector<double> theta;
};

// A start so far above the threshold is taken as it is: near its minimum, which variable
// projection all but finds, the sum does not fall to a fourth.
constexpr double kFarOutside = 4;

// Best residual sum of squares at `value`, from the neighbour's parameters.
Step At(const Form& form, int index, double value, std::vector<double> theta) {
  theta[index] = value;
  const double rss = form.Refine(uint64_t{1} << index, theta.data());
  return {value, rss, std::move(theta)};
}

// Where the profile crosses the threshold between two neighbours, `inside` below it.
// The root of the excess over the minimum is nearly linear in the parameter, so its
// square root is what is solved for.
double Crossing(const Form& form, int index, double rss, double threshold, const Step& inside,
                const Step& outside) {
  const double target = std::sqrt(threshold - rss);
  const auto distance = [&](const Step& step) {
    return std::sqrt(std::max(0.0, step.rss - rss)) - target;
  };
  const auto at = [&](double value) { return distance(At(form, index, value, inside.theta)); };
  const auto tolerance = [](double a, double b) {
    return std::fabs(b - a) <= 1e-9 * std::max(std::fabs(a), std::fabs(b)) + 1e-300;
  };
  std::uintmax_t iterations = 60;
  const bool rising = outside.value > inside.value;
  const Step& left = rising ? inside : outside;
  const Step& right = rising ? outside : inside;
  const auto bracket = boost::math::tools::toms748_solve(
      at, left.value, right.value, distance(left), distance(right), tolerance, iterations);
  return 0.5 * (bracket.first + bracket.second);
}

}  // namespace

ProfileInterval Profile(const Form& form, const std::vector<double>& theta, double rss,
                        double threshold, int index, absl::Span<const double> grid,
                        absl::Span<const std::vector<double>> starts) {
  LOGLOG_CHECK(threshold > rss && (starts.empty() || starts.size() == grid.size()));
  ProfileInterval interval;
  const double estimate = theta[index];
  for (const int side : {-1, 1}) {
    std::vector<int> outward;  // of the grid
    for (int i = 0; i < static_cast<int>(grid.size()); ++i) {
      const int at = side < 0 ? static_cast<int>(grid.size()) - 1 - i : i;
      if ((grid[at] - estimate) * side > 0) outward.push_back(at);
    }
    std::vector<Step> steps = {{estimate, rss, theta}};
    for (size_t i = 0; i < outward.size(); ++i) {
      const int at = outward[i];
      if (!starts.empty()) {
        const double above = form.Value(Loss::Squares(), starts[at].data(), nullptr);
        if (above > kFarOutside * threshold) {
          steps.push_back({grid[at], above, starts[at]});
          continue;
        }
      }
      steps.push_back(At(form, index, grid[at], starts.empty() ? steps.back().theta : starts[at]));
      // Hair's breadth: rounding alone may go this much under the minimum.
      if (steps.back().rss < rss - 1e-9 * (threshold - rss)) interval.found_lower = true;
      // Far outside, where no start says what is beyond: nothing is, if the bound is outside
      // as well.
      if (!starts.empty() || steps.back().rss < kFarOutside * threshold) continue;
      Step bound = At(form, index, grid[outward.back()], steps.back().theta);
      if (bound.rss < threshold) continue;
      steps.push_back(std::move(bound));
      break;
    }
    int last_inside = 0;
    for (int i = 0; i < static_cast<int>(steps.size()); ++i) {
      if (steps[i].rss < threshold) last_inside = i;
    }
    const bool open = last_inside + 1 == static_cast<int>(steps.size());
    const double end =
        open ? steps.back().value
             : Crossing(form, index, rss, threshold, steps[last_inside], steps[last_inside + 1]);
    (side < 0 ? interval.low : interval.high) = end;
    (side < 0 ? interval.low_open : interval.high_open) = open;
  }
  return interval;
}

}  // namespace loglog
