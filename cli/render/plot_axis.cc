#include <algorithm>
#include <cmath>

#include "cli/render/plot.h"
#include "cli/render/text.h"

namespace loglog::cli {
namespace {

// Multiples of `mantissas` x 10^k within [low, high].
std::vector<double> DecadeTicks(double low, double high, const std::vector<double>& mantissas) {
  std::vector<double> ticks;
  for (int k = static_cast<int>(std::floor(std::log10(low))) - 1;
       k <= static_cast<int>(std::ceil(std::log10(high))); ++k) {
    for (const double m : mantissas) {
      const double value = m * std::pow(10.0, k);
      if (value >= low * (1 - 1e-9) && value <= high * (1 + 1e-9)) ticks.push_back(value);
    }
  }
  return ticks;
}

std::vector<double> EvenTicks(double low, double high, int wanted) {
  const double raw = (high - low) / std::max(1, wanted);
  const double power = std::pow(10.0, std::floor(std::log10(raw)));
  double step = power * 10;
  for (const double m : {1.0, 2.0, 2.5, 5.0}) {
    if (power * m >= raw) {
      step = power * m;
      break;
    }
  }
  std::vector<double> ticks;
  const auto first = static_cast<int64_t>(std::ceil(low / step - 1e-9));
  for (int64_t i = first; i * step <= high * (1 + 1e-12); ++i) ticks.push_back(i * step);
  return ticks;
}

}  // namespace

PlotRange RangeOf(const Plot& plot) {
  PlotRange range = {};
  const auto take = [&](const PlotPoint& p) {
    if (!(p.x > 0) || !(p.y > 0) || !std::isfinite(p.x) || !std::isfinite(p.y)) return;
    const double x = std::log(p.x);
    const double y = std::log(p.y);
    if (range.empty) range = {x, x, y, y, false};
    range.x_min = std::min(range.x_min, x);
    range.x_max = std::max(range.x_max, x);
    range.y_min = std::min(range.y_min, y);
    range.y_max = std::max(range.y_max, y);
  };
  for (const PlotSeries& series : plot.series) {
    for (const PlotPoint& p : series.trials) take(p);
    for (const PlotPoint& p : series.means) take(p);
    for (const PlotCurve& curve : series.curves) {
      for (const PlotPoint& p : curve.points) take(p);
    }
  }
  if (range.empty) return range;
  const auto widen = [](double& low, double& high) {
    const double margin = std::max(0.05 * (high - low), 0.01);
    low -= margin;
    high += margin;
  };
  widen(range.x_min, range.x_max);
  widen(range.y_min, range.y_max);
  return range;
}

std::vector<double> LogTicks(double low, double high, int wanted) {
  if (!(low > 0) || !(high > low)) return {};
  const double decades = std::log10(high / low);
  if (decades >= wanted) {
    const int stride = static_cast<int>(std::ceil(decades / wanted));
    std::vector<double> ticks;
    for (const double tick : DecadeTicks(low, high, {1})) {
      if (std::llround(std::log10(tick)) % stride == 0) ticks.push_back(tick);
    }
    return ticks;
  }
  // Even steps crowd together at the top of a wide logarithmic axis.
  if (decades <= 0.7) return EvenTicks(low, high, wanted);
  std::vector<double> best;
  for (const std::vector<double>& mantissas :
       {std::vector<double>{1}, std::vector<double>{1, 3}, std::vector<double>{1, 2, 5}}) {
    std::vector<double> ticks = DecadeTicks(low, high, mantissas);
    if (best.size() >= 2 && ticks.size() > wanted + 1) break;
    best = std::move(ticks);
  }
  return best;
}

std::vector<std::string> TickLabels(const std::vector<double>& ticks) {
  for (int digits = 2; digits <= 6; ++digits) {
    std::vector<std::string> labels;
    for (const double tick : ticks) {
      labels.push_back(tick >= 1000 && digits <= 3 ? HumanCount(tick) : Significant(tick, digits));
    }
    bool exact = true;
    for (size_t i = 0; i < ticks.size(); ++i) {
      if (ticks[i] < 1000 &&
          std::abs(std::strtod(labels[i].c_str(), nullptr) / ticks[i] - 1) > 1e-6) {
        exact = false;
      }
    }
    std::vector<std::string> unique = labels;
    std::sort(unique.begin(), unique.end());
    if (exact && std::adjacent_find(unique.begin(), unique.end()) == unique.end()) return labels;
  }
  std::vector<std::string> labels;
  for (const double tick : ticks) labels.push_back(PlainNumber(tick));
  return labels;
}

}  // namespace loglog::cli
