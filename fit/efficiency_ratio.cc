#include "fit/efficiency_ratio.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "absl/functional/function_ref.h"
#include "absl/strings/str_format.h"
#include "fit/distributions.h"
#include "fit/line.h"

namespace loglog {
namespace {

// Variance of one trial's ln L about its configuration: between seeds where there are
// replicates; else about a parabola, so that curvature, which is no noise, stays out;
// with too few configurations about the line.
struct TrialScatter {
  double variance = 0;
  int df = 0;
};
TrialScatter TrialScatterOf(const Pairs& pairs, const LineData& y1) {
  const PureError pure = PureErrorOf(pairs, [](const Pair& p) { return p.y1; });
  if (pure.df >= 1) return {pure.squares / pure.df, pure.df};
  const Parabola parabola = FitParabola(y1);
  if (parabola.ok) return {parabola.variance, parabola.df};
  const Line line = FitLine(y1);
  return {line.df >= 1 ? line.rss / line.df : kNoNumber, line.df};
}

// ln L of arm 1 around the middle of its range: a line, or a parabola where it bends beyond
// noise, because the loss for r times the x lies on the curve.
class ArmAround {
 public:
  // `y1` as WeightedCells has it.
  ArmAround(const Pairs& pairs, const LineData& y1, double confidence)
      : line_(FitLine(y1)), parabola_(FitParabola(y1)), scatter_(TrialScatterOf(pairs, y1)) {
    if (scatter_.df < 1) return;
    t_ = TQuantile(0.5 + confidence / 2, scatter_.df);
    bends_ = parabola_.ok && std::fabs(parabola_.quadratic) >
                                 t_ * std::sqrt(scatter_.variance * parabola_.unit_quadratic);
  }
  bool falls() const { return line_.slope < 0; }
  bool bends() const { return bends_; }
  // From ln x = `at` to `at` + rho.
  double Change(double at, double rho) const {
    if (!bends_) return line_.slope * rho;
    const double v = at - parabola_.centre;
    return parabola_.linear * rho + parabola_.quadratic * rho * (2 * v + rho);
  }
  // Half the width of an interval for it.
  double HalfWidth(double at, double rho) const {
    const double linear = rho, quadratic = rho * (2 * (at - parabola_.centre) + rho);
    const double unit = bends_ ? linear * linear * parabola_.unit_linear +
                                     2 * linear * quadratic * parabola_.unit_cross +
                                     quadratic * quadratic * parabola_.unit_quadratic
                               : rho * rho / line_.suu;
    return t_ * std::sqrt(std::max(0.0, unit * scatter_.variance));
  }

 private:
  const Line line_;
  const Parabola parabola_;
  const TrialScatter scatter_;
  double t_ = kNoNumber;
  bool bends_ = false;
};

// The first rho from 0 to `end` at which `f` turns negative, or NaN; f(0) >= 0.
double FirstNegative(absl::FunctionRef<double(double)> f, double end) {
  constexpr int kSteps = 256;
  double before = 0;
  for (int i = 1; i <= kSteps; ++i) {
    const double at = end * i / kSteps;
    if (f(at) >= 0) {
      before = at;
      continue;
    }
    double inside = before, outside = at;
    for (int k = 0; k < 60; ++k) {
      const double middle = (inside + outside) / 2;
      (f(middle) >= 0 ? inside : outside) = middle;
    }
    return inside;
  }
  return kNoNumber;
}

}  // namespace

// The interval holds the ln r for which the difference and the change of arm 1's curve from x to
// r*x are not told from one another: with a line it is Fieller's, because in the middle the
// difference and the slope are uncorrelated. A curve is not followed beyond the data.
FitParameter EfficiencyRatio(const Pairs& pairs, const Differences& d, const PairedError* error,
                             Axis axis, double confidence, std::vector<std::string>* notes) {
  FitParameter parameter{.name = "efficiency_ratio"};
  const LineData y1 = WeightedCells(pairs, [](const Pair& p) { return p.y1; });
  const ArmAround arm1(pairs, y1, confidence);
  if (!arm1.falls()) {
    notes->push_back("efficiency_ratio is not defined: the loss of arm 1 does not fall");
    return parameter;
  }
  const double at = d.middle_x;
  const double far = arm1.bends() ? 0 : 50;  // e^50 is no end for anybody
  const double up = arm1.bends() ? std::log(pairs.x_max) - at : far;
  const double down = arm1.bends() ? std::log(pairs.x_min) - at : -far;
  // Arm 1 has to fall by d (rise where d is below 0).
  const double side = d.middle > 0 ? up : down;
  const double ln_r = FirstNegative(
      [&](double rho) { return std::fabs(d.middle) - std::fabs(arm1.Change(at, rho)); }, side);
  const char* x = AxisSymbol(axis);
  if (std::isnan(ln_r)) {
    notes->push_back(absl::StrFormat(
        "efficiency_ratio lies beyond the data: within %s = %.4g to %.4g arm 1 does not reach arm "
        "2's loss in the middle",
        x, pairs.x_min, pairs.x_max));
    return parameter;
  }
  parameter.estimate = std::exp(ln_r);
  if (error == nullptr) return parameter;
  const double half = error->HalfWidth(confidence, d.weight);
  const auto holds = [&](double rho) {
    const double off = d.middle + arm1.Change(at, rho), own = arm1.HalfWidth(at, rho);
    return half * half + own * own - off * off;
  };
  const double low =
      ln_r + FirstNegative([&](double less) { return holds(ln_r + less); }, down - ln_r);
  const double high =
      ln_r + FirstNegative([&](double more) { return holds(ln_r + more); }, up - ln_r);
  parameter.low = std::isnan(low) ? 0 : std::exp(low);
  parameter.high = std::isnan(high) ? std::numeric_limits<double>::infinity() : std::exp(high);
  if (std::isnan(low) || std::isnan(high)) {
    notes->push_back(
        arm1.bends() ? absl::StrFormat("an end of efficiency_ratio lies beyond the data (%s = %.4g "
                                       "to %.4g), where arm 1's curve is not followed",
                                       x, pairs.x_min, pairs.x_max)
                     : "efficiency_ratio has no ends: the slope of arm 1 is not told from 0");
  }
  return parameter;
}

}  // namespace loglog
