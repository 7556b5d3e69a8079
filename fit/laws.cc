#include "fit/laws.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "Eigen/Cholesky"
#include "Eigen/Core"
#include "base/check.h"
#include "fit/power_sum.h"

namespace loglog {
namespace {

constexpr int kExponents = 17;  // of a grid over two
constexpr int kStartsKept = 32;
// Half-lives of repetition: from "a second look is worth nothing" to "as good as new".
constexpr double kRepetitionsLow = 0.1;
constexpr double kRepetitionsHigh = 1000;
// Of the turn of a broken power law, in ln x.
constexpr double kWidthLow = 0.02;
constexpr double kWidthHigh = 2;
// N/U_N beyond which repetition has long saturated; keeps exp from overflowing.
constexpr double kLnRatioMax = 100;

using Ranked = std::vector<std::pair<double, std::vector<double>>>;

// The best `kept` by value, best first, in the box.
std::vector<std::vector<double>> Best(Ranked ranked, const Box& box, int kept) {
  std::stable_sort(ranked.begin(), ranked.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  std::vector<std::vector<double>> starts;
  for (auto& [value, theta] : ranked) {
    if (static_cast<int>(starts.size()) == kept) break;
    for (size_t i = 0; i < theta.size(); ++i) {
      theta[i] = std::min(std::max(theta[i], box.low[i]), box.high[i]);
    }
    starts.push_back(std::move(theta));
  }
  return starts;
}

// ln(1 + exp(z)) and its derivative.
double Softplus(double z, double* slope) {
  *slope = z > 0 ? 1 / (1 + std::exp(-z)) : std::exp(z) / (1 + std::exp(z));
  return z > 0 ? z + std::log1p(std::exp(-z)) : std::log1p(std::exp(z));
}

// ln of what a quantity is worth when `unique` of it is new: unique*(1 + R*(1 - exp(-r/R)))
// with r = total/unique - 1, and its derivatives. total >= unique.
struct Worth {
  double ln;
  double by_ln_unique;
  double by_ln_r;
};
Worth WorthOf(double ln_total, double ln_unique, double ln_r) {
  const double repeats = std::expm1(std::min(ln_total - ln_unique, kLnRatioMax));
  const double r = std::exp(ln_r);
  const double decay = std::exp(-repeats / r);
  const double more = r * -std::expm1(-repeats / r);
  return {ln_unique + std::log1p(more), 1 - decay * (1 + repeats) / (1 + more),
          (more - decay * repeats) / (1 + more)};
}

}  // namespace

KaplanForm::KaplanForm(const Sample& sample) : Form(sample) {
  LOGLOG_CHECK(columns() == 2);
  AddTerm("A", 0, 1);
  AddExponent("alpha");
  AddTerm("B", 1, 3);
  AddExponent("beta");
}

double KaplanForm::LnLoss(const double* theta, const double* u, int, double* jacobian) const {
  const double q = theta[3];
  const double z[2] = {(theta[0] - theta[1] * u[0]) / q, theta[2] / q - u[1]};
  double share[2];
  const double sum = LogSumExp(z, 2, share);
  if (jacobian != nullptr) {
    jacobian[0] = share[0];
    jacobian[1] = -share[0] * u[0];
    jacobian[2] = share[1];
    jacobian[3] = sum - share[0] * z[0] - share[1] * theta[2] / q;
  }
  return q * sum;
}

int KaplanForm::starts_ranked() const { return kExponents * kExponents; }

// With the exponents given, L^(1/beta) is linear in A^(1/beta) and B^(1/beta).
std::vector<std::vector<double>> KaplanForm::Starts() const {
  Ranked ranked;
  const std::vector<double> grid = ExponentGrid(kExponents);
  for (const double p : grid) {
    for (const double q : grid) {
      // Each column is scaled to at most 1.
      double ln_scale[2] = {-1e300, -1e300};
      const auto ln_column = [&](int k, int i) {
        return (k == 0 ? -p * u(i)[0] / q : -u(i)[1]) - y(i) / q;
      };
      for (int k = 0; k < 2; ++k) {
        for (int i = 0; i < size(); ++i) ln_scale[k] = std::max(ln_scale[k], ln_column(k, i));
      }
      double g00 = 0, g01 = 0, g11 = 0, r0 = 0, r1 = 0;
      for (int i = 0; i < size(); ++i) {
        const double c0 = std::exp(ln_column(0, i) - ln_scale[0]);
        const double c1 = std::exp(ln_column(1, i) - ln_scale[1]);
        const double w = weight(i);
        g00 += w * c0 * c0;
        g01 += w * c0 * c1;
        g11 += w * c1 * c1;
        r0 += w * c0;
        r1 += w * c1;
      }
      const double determinant = g00 * g11 - g01 * g01;
      double c0 = determinant > 0 ? (g11 * r0 - g01 * r1) / determinant : -1;
      double c1 = determinant > 0 ? (g00 * r1 - g01 * r0) / determinant : -1;
      if (!(c0 > 0 && c1 > 0)) {
        const bool first = r0 * r0 / g00 > r1 * r1 / g11;
        c0 = first ? r0 / g00 : 0;
        c1 = first ? 0 : r1 / g11;
      }
      // A relative residual of L^(1/beta) is 1/beta times that of L.
      const double value = q * q *
                           (total_weight() - 2 * (r0 * c0 + r1 * c1) + g00 * c0 * c0 +
                            2 * g01 * c0 * c1 + g11 * c1 * c1);
      const double gone = -1e300;
      ranked.push_back({value,
                        {c0 > 0 ? q * (std::log(c0) - ln_scale[0]) : gone, p,
                         c1 > 0 ? q * (std::log(c1) - ln_scale[1]) : gone, q}});
    }
  }
  return Best(std::move(ranked), box(), kStartsKept);
}

RepeatedDataForm::RepeatedDataForm(const Sample& sample) : Form(sample) {
  LOGLOG_CHECK(columns() == 3);
  AddFloor("E");
  AddTerm("A", 0, 2);
  AddExponent("alpha");
  AddTerm("B", 1, 4);
  AddExponent("beta");
  AddParameter({.name = "R_D", .kind = ParameterKind::kLog}, std::log(kRepetitionsLow),
               std::log(kRepetitionsHigh));
  AddParameter({.name = "R_N", .kind = ParameterKind::kLog}, std::log(kRepetitionsLow),
               std::log(kRepetitionsHigh));
}

double RepeatedDataForm::LnLoss(const double* theta, const double* u, int, double* jacobian) const {
  const double a = theta[1], alpha = theta[2], b = theta[3], beta = theta[4];
  const double mean_n = ln_x_mean(0), mean_d = ln_x_mean(1);
  const double ln_n = u[0] + mean_n;
  const double ln_d = u[1] + mean_d;
  const double ln_u = std::min(u[2] + ln_x_mean(2), ln_d);
  // U_N balances both terms' slopes at U tokens: alpha*A*U_N^-alpha = beta*B*U^-beta.
  const double ln_un =
      (std::log(alpha) + a + alpha * mean_n - std::log(beta) - b - beta * mean_d + beta * ln_u) /
      alpha;
  const bool spare = ln_un < ln_n;
  const Worth n = spare ? WorthOf(ln_n, ln_un, theta[6]) : Worth{ln_n, 0, 0};
  const Worth d = WorthOf(ln_d, ln_u, theta[5]);
  const double z[3] = {theta[0], a - alpha * (n.ln - mean_n), b - beta * (d.ln - mean_d)};
  double share[3];
  const double ln_l = LogSumExp(z, 3, share);
  if (jacobian == nullptr) return ln_l;
  const double by_un = -alpha * n.by_ln_unique * share[1];
  jacobian[0] = share[0];
  jacobian[1] = share[1] + by_un / alpha;
  jacobian[2] = -share[1] * (n.ln - mean_n) + by_un * (1 / alpha + mean_n - ln_un) / alpha;
  jacobian[3] = share[2] - by_un / alpha;
  jacobian[4] = -share[2] * (d.ln - mean_d) + by_un * (-1 / beta - mean_d + ln_u) / alpha;
  jacobian[5] = -beta * d.by_ln_r * share[2];
  jacobian[6] = -alpha * n.by_ln_r * share[1];
  return ln_l;
}

namespace {

constexpr double kDataStarts[] = {1, 4, 16, 64};
constexpr double kSizeStarts[] = {1, 8, 64};
constexpr int kOfEach = 3;

}  // namespace

int RepeatedDataForm::starts_ranked() const {
  return static_cast<int>(std::size(kDataStarts)) * kExponents * kExponents;
}

// At a given R_D, and with sizes at their face value, this is the joint form in D'.
std::vector<std::vector<double>> RepeatedDataForm::Starts() const {
  std::vector<std::vector<double>> starts;
  for (const double r_d : kDataStarts) {
    Sample sample;
    sample.ln_x.resize(2);
    for (int i = 0; i < size(); ++i) {
      const double ln_d = u(i)[1] + ln_x_mean(1);
      const double ln_u = std::min(u(i)[2] + ln_x_mean(2), ln_d);
      sample.ln_x[0].push_back(u(i)[0] + ln_x_mean(0));
      sample.ln_x[1].push_back(WorthOf(ln_d, ln_u, std::log(r_d)).ln);
      sample.y.push_back(y(i));
      sample.weight.push_back(weight(i));
    }
    const PowerSum joint(sample, {.term_names = {"A", "B"},
                                  .exponent_names = {"alpha", "beta"},
                                  .centres = {ln_x_mean(0), ln_x_mean(1)}});
    const std::vector<std::vector<double>> of_joint = joint.Starts();
    for (int k = 0; k < kOfEach; ++k) {
      for (const double r_n : kSizeStarts) {
        std::vector<double> theta = of_joint[k];
        theta.insert(theta.end(), {std::log(r_d), std::log(r_n)});
        for (int i = 0; i < dim(); ++i) {
          theta[i] = std::min(std::max(theta[i], box().low[i]), box().high[i]);
        }
        starts.push_back(std::move(theta));
      }
    }
  }
  return starts;
}

BrokenForm::BrokenForm(const Sample& sample) : Form(sample) {
  LOGLOG_CHECK(columns() == 1);
  AddTerm("B", 0, 1);
  AddParameter({.name = "beta_before"}, -kExponentHigh, kExponentHigh);
  AddParameter({.name = "beta_after"}, -kExponentHigh, kExponentHigh);
  AddParameter({.name = "x0", .kind = ParameterKind::kSize, .column = 0}, u_min(0), u_max(0));
  AddParameter({.name = "width", .kind = ParameterKind::kLog}, std::log(kWidthLow),
               std::log(kWidthHigh));
}

double BrokenForm::LnLoss(const double* theta, const double* u, int, double* jacobian) const {
  const double change = theta[2] - theta[1];
  const double width = std::exp(theta[4]);
  const double z = (u[0] - theta[3]) / width;
  double slope;
  const double turn = Softplus(z, &slope);
  if (jacobian != nullptr) {
    jacobian[0] = 1;
    jacobian[1] = -u[0] + width * turn;
    jacobian[2] = -width * turn;
    jacobian[3] = change * slope;
    jacobian[4] = -change * width * (turn - z * slope);
  }
  return theta[0] - theta[1] * u[0] - change * width * turn;
}

namespace {

constexpr int kBreaks = 15;
constexpr double kWidthStarts[] = {0.05, 0.3, 1};

}  // namespace

int BrokenForm::starts_ranked() const {
  return kBreaks * static_cast<int>(std::size(kWidthStarts));
}

// With break and width given, ln L is linear in the other three.
std::vector<std::vector<double>> BrokenForm::Starts() const {
  Ranked ranked;
  const double low = u_min(0), high = u_max(0);
  for (int k = 0; k < kBreaks; ++k) {
    for (const double width : kWidthStarts) {
      const double at = low + (high - low) * (k + 0.5) / kBreaks;
      Eigen::MatrixXd design(size(), 3);
      Eigen::VectorXd target(size());
      for (int i = 0; i < size(); ++i) {
        double slope;
        const double turn = width * Softplus((u(i)[0] - at) / width, &slope);
        const double w = std::sqrt(weight(i));
        design.row(i) << w, w * (turn - u(i)[0]), -w * turn;
        target(i) = w * y(i);
      }
      const Eigen::Matrix3d gram = design.transpose() * design;
      const Eigen::Vector3d solution = gram.ldlt().solve(design.transpose() * target);
      if (!solution.allFinite()) continue;
      ranked.push_back({(design * solution - target).squaredNorm(),
                        {solution(0), solution(1), solution(2), at, std::log(width)}});
    }
  }
  if (ranked.empty()) ranked.push_back({0, {y_min(), 0, 0, (low + high) / 2, 0}});
  return Best(std::move(ranked), box(), kStartsKept);
}

}  // namespace loglog
