#include "fit/line.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "fit/minimize.h"
#include "fit/robust_linear.h"

namespace loglog {
namespace {

// Weighted means of `values` over the points of each group.
std::vector<double> GroupMeans(const LineData& data, const std::vector<double>& values) {
  std::vector<double> mean(data.n_groups, 0.0);
  std::vector<double> weight(data.n_groups, 0.0);
  for (int i = 0; i < data.size(); ++i) weight[data.group[i]] += data.weight[i];
  for (int i = 0; i < data.size(); ++i) {
    const int g = data.group[i];
    mean[g] += data.weight[i] * values[i] / weight[g];
  }
  return mean;
}

// A column and its means over groups.
struct Column {
  Column(const LineData& data, const std::vector<double>& column)
      : values(column), means(GroupMeans(data, column)) {}
  const std::vector<double>& values;
  const std::vector<double> means;
};

// Weighted inner product of two columns after centring within groups.
double Inner(const LineData& data, const Column& a, const Column& b) {
  double sum = 0;
  for (int i = 0; i < data.size(); ++i) {
    const int g = data.group[i];
    sum += data.weight[i] * (a.values[i] - a.means[g]) * (b.values[i] - b.means[g]);
  }
  return sum;
}

}  // namespace

Line FitLine(const LineData& data) {
  LOGLOG_CHECK(data.size() > 0);
  Line line;
  const Column u(data, data.u), y(data, data.y);
  line.mean_u = u.means;
  line.mean_y = y.means;
  line.suu = Inner(data, u, u);
  line.slope = line.suu > 0 ? Inner(data, u, y) / line.suu : 0;
  for (int i = 0; i < data.size(); ++i) {
    const double r = data.y[i] - line.Predict(data.group[i], data.u[i]);
    line.rss += data.weight[i] * r * r;
  }
  line.df = data.size() - data.n_groups - 1;
  return line;
}

Parabola FitParabola(const LineData& data) {
  Parabola result;
  result.df = data.size() - data.n_groups - 2;
  if (result.df < 1) return result;
  double total = 0;
  for (int i = 0; i < data.size(); ++i) {
    total += data.weight[i];
    result.centre += data.weight[i] * data.u[i];
  }
  result.centre /= total;
  std::vector<double> v(data.size());
  std::vector<double> v2(data.size());
  for (int i = 0; i < data.size(); ++i) {
    v[i] = data.u[i] - result.centre;
    v2[i] = v[i] * v[i];
  }
  const Column linear(data, v), square(data, v2), y(data, data.y);
  const double a = Inner(data, linear, linear);
  const double b = Inner(data, linear, square);
  const double c = Inner(data, square, square);
  const double vy = Inner(data, linear, y);
  const double v2y = Inner(data, square, y);
  const double determinant = a * c - b * b;
  if (!(determinant > 1e-12 * a * c)) return result;
  result.linear = (c * vy - b * v2y) / determinant;
  result.quadratic = (a * v2y - b * vy) / determinant;
  std::vector<double> residual(data.size());
  for (int i = 0; i < data.size(); ++i) {
    residual[i] = data.y[i] - result.linear * v[i] - result.quadratic * v2[i];
  }
  const Column rest(data, residual);
  result.variance = Inner(data, rest, rest) / result.df;
  result.unit_linear = c / determinant;
  result.unit_quadratic = a / determinant;
  result.unit_cross = -b / determinant;
  result.ok = true;
  return result;
}

// x = (offset of each group from the line of least squares, change of its slope): near 0 at
// every optimum.
RobustSlopes FitRobustSlopes(const LineData& data, double huber_delta) {
  const Line line = FitLine(data);
  const int dim = data.n_groups + 1;
  LinearResiduals residuals;
  residuals.weight = data.weight;
  residuals.jacobian.assign(data.size() * dim, 0.0);
  for (int i = 0; i < data.size(); ++i) {
    const int g = data.group[i];
    residuals.at_0.push_back(line.Predict(g, data.u[i]) - data.y[i]);
    residuals.jacobian[i * dim + g] = 1;
    residuals.jacobian[i * dim + dim - 1] = data.u[i] - line.mean_u[g];
  }
  RobustSlopes slopes;
  std::vector<double> x(dim, 0.0);
  MinimizeRobust(residuals, huber_delta, &x);
  slopes.huber = line.slope + x.back();
  ForEachLadDelta([&](double delta) { MinimizeRobust(residuals, delta, &x); });
  slopes.lad = line.slope + x.back();
  return slopes;
}

}  // namespace loglog
