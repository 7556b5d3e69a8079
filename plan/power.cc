#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

#include "boost/math/distributions/beta.hpp"
#include "boost/math/distributions/non_central_t.hpp"
#include "boost/math/distributions/students_t.hpp"
#include "boost/math/quadrature/gauss.hpp"
#include "plan/check.h"

namespace loglog {
namespace {

namespace math = boost::math;

// How `compare` makes its 95% interval (fit/paired_error.cc, which `plan` does not link); a test
// of the coordinator holds the two together.
constexpr double kLevel = 0.95;
constexpr double kMeansLevel = 0.945;
constexpr double kPairsLevel = 0.91;

// P(|T| > bound) of a noncentral t.
double BeyondBound(double freedom, double shift, double bound) {
  const math::non_central_t t(freedom, shift);
  return math::cdf(math::complement(t, bound)) + math::cdf(t, -bound);
}

double CriticalT(double freedom, double level) {
  return math::quantile(math::complement(math::students_t(freedom), (1 - level) / 2));
}

// What a regression on pairs has to work with.
struct PairFacts {
  double squares = 0;  // of ln x about the lines' means
  int distinct_x = 0;
  double line_freedom = 0;  // of cells about the line
  double seed_freedom = 0;  // of pairs about their cells
};

PairFacts FactsOf(const std::vector<PlannedPair>& pairs) {
  std::map<int, std::pair<double, int>> lines;  // sum of ln x, pairs
  std::set<std::pair<int, double>> cells;
  std::set<double> distinct_x;
  for (const PlannedPair& pair : pairs) {
    lines[pair.line].first += pair.log_x;
    ++lines[pair.line].second;
    cells.insert({pair.line, pair.log_x});
    distinct_x.insert(pair.log_x);
  }
  PairFacts facts;
  for (const PlannedPair& pair : pairs) {
    const auto& [sum, count] = lines[pair.line];
    const double distance = pair.log_x - sum / count;
    facts.squares += distance * distance;
  }
  facts.distinct_x = static_cast<int>(distinct_x.size());
  facts.line_freedom = static_cast<double>(cells.size()) - static_cast<double>(lines.size()) - 1;
  facts.seed_freedom = static_cast<double>(pairs.size() - cells.size());
  return facts;
}

// The interval of `compare` lies between that of means and that of pairs by the p of cells
// scattering about the line more than seeds do. Where no cell has an effect of its own, the share
// of all scatter that is the cells' is beta distributed and independent of its sum, so the answer
// is a mean over that share.
double PowerWithReplicates(const PairFacts& facts, double shift) {
  const double line = facts.line_freedom, seeds = facts.seed_freedom, all = line + seeds;
  const double means = CriticalT(line, kMeansLevel), pairs = CriticalT(all, kPairsLevel);
  const math::beta_distribution<> share(line / 2, seeds / 2);
  const auto found = [&](double p) {
    const double of_means = std::sqrt(math::quantile(math::complement(share, p)) * all / line);
    return BeyondBound(all, shift, (1 - p) * means * of_means + p * pairs);
  };
  return math::quadrature::gauss<double, 20>::integrate(found, 0.0, 1.0);
}

}  // namespace

double PairedPower(const std::vector<PlannedPair>& pairs, double noise, double slope_difference) {
  constexpr int kDistinctMin = 3;  // below, `compare` gives no interval
  const PairFacts facts = FactsOf(pairs);
  if (facts.distinct_x < kDistinctMin || facts.line_freedom < 1) return 0;
  // A pair's difference has twice the variance of one trial.
  const double shift = std::abs(slope_difference) / (noise * std::sqrt(2 / facts.squares));
  // Far out the distribution is a point, and its series are slow.
  constexpr double kCertain = 37;
  if (shift > kCertain * CriticalT(facts.line_freedom, kLevel)) return 1;
  if (facts.seed_freedom < 1) {
    return BeyondBound(facts.line_freedom, shift, CriticalT(facts.line_freedom, kLevel));
  }
  return PowerWithReplicates(facts, shift);
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
