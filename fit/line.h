#ifndef LOGLOG_FIT_LINE_H_
#define LOGLOG_FIT_LINE_H_

#include <vector>

namespace loglog {

// A weighted sample of points in groups: y = intercept(group) + slope * u.
struct LineData {
  std::vector<double> u;
  std::vector<double> y;
  std::vector<double> weight;
  std::vector<int> group;  // 0 .. n_groups-1, each used at least once
  int n_groups = 1;
  int size() const { return static_cast<int>(u.size()); }
};

// Weighted least squares with an intercept for each group, by centring within groups.
struct Line {
  double slope = 0;
  double suu = 0;              // weighted sum of squares of u about the groups' means
  double rss = 0;              // weighted residual sum of squares
  int df = 0;                  // points - groups - 1
  std::vector<double> mean_u;  // of each group
  std::vector<double> mean_y;

  double Predict(int group, double u) const { return mean_y[group] + slope * (u - mean_u[group]); }
};

// suu is 0, and the slope 0, when no group has two different u.
Line FitLine(const LineData& data);

// y = intercept(group) + linear * v + quadratic * v^2 with v = u - centre, where centre
// is the weighted mean of u. df = points - groups - 2; df < 1 or a singular design
// gives ok = false.
struct Parabola {
  bool ok = false;
  double centre = 0;
  double linear = 0;
  double quadratic = 0;
  double variance = 0;  // of the residuals
  // Times a variance: the variances and the covariance of the two estimates.
  double unit_linear = 0;
  double unit_quadratic = 0;
  double unit_cross = 0;
  int df = 0;
};
Parabola FitParabola(const LineData& data);

// Slope by Huber's loss sum w*rho(y - fit), and by least absolute deviations.
struct RobustSlopes {
  double huber = 0;
  double lad = 0;
};
RobustSlopes FitRobustSlopes(const LineData& data, double huber_delta);

}  // namespace loglog

#endif  // LOGLOG_FIT_LINE_H_
