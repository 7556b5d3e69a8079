#include "fit/study/planted.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <iterator>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "fit/bootstrap.h"
#include "fit/planted_testing.h"
#include "fit/random.h"

namespace loglog {
namespace {

using LossOf = std::function<double(double n, double d, double u)>;

class Draw {
 public:
  Draw(uint64_t seed, int index) : random_(seed, static_cast<uint64_t>(index)) {}
  double Between(double low, double high) { return low + (high - low) * random_.Uniform(); }
  double LogBetween(double low, double high) {
    return std::exp(Between(std::log(low), std::log(high)));
  }
  int Integer(int low, int high) {
    return low + static_cast<int>(random_.Below(static_cast<uint32_t>(high - low + 1)));
  }
  double Normal() { return random_.Normal(); }

 private:
  RandomStream random_;
};

void AddTrials(double n, double d, double u, int seeds, const LossOf& loss, Draw* draw,
               PlantedProblem* problem) {
  for (int s = 0; s < seeds; ++s) {
    Observation o = At(n, d, loss(n, d, u) * std::exp(problem->sd * draw->Normal()), s);
    o.d_unique = u;
    absl::StrAppend(&o.config, "u", u);
    problem->trials.push_back(std::move(o));
  }
}

void PlantLine(Draw* draw, PlantedProblem* problem) {
  const double first = draw->LogBetween(1e7, 1e10);
  const bool broken = problem->law == Law::kBroken;
  const double range = broken ? draw->LogBetween(256, 4096) : draw->LogBetween(16, 256);
  const int n_tokens = broken ? draw->Integer(10, 16) : draw->Integer(5, 10);
  const int seeds = draw->Integer(1, 3);
  const double middle = first * std::sqrt(range);
  const double beta = draw->Between(0.15, 0.6);
  const double top = draw->Between(2, 5);  // loss in the middle
  LossOf loss;
  if (problem->law == Law::kPower) {
    const double slope = draw->Between(0.03, 0.3);
    problem->truth = {{"beta", slope}};
    loss = [=](double, double d, double) { return top * std::pow(d / middle, -slope); };
  } else if (problem->law == Law::kSaturating) {
    const double fall = top * draw->Between(0.1, 0.7);
    problem->truth = {{"beta", beta}, {"E", top - fall}};
    loss = [=](double, double d, double) {
      return top - fall + fall * std::pow(d / middle, -beta);
    };
  } else {
    const double before = draw->Between(0.03, 0.1), after = draw->Between(0.18, 0.4);
    const double width = draw->Between(0.2, 0.8);
    problem->truth = {{"beta_before", before}, {"beta_after", after}};
    loss = [=](double, double d, double) {
      const double x = d / middle;
      return top * std::pow(x, -before) *
             std::pow(1 + std::pow(x, 1 / width), (before - after) * width);
    };
  }
  for (const double d : LogRange(first, range, n_tokens)) {
    AddTrials(1e8, d, d, seeds, loss, draw, problem);
  }
}

void PlantGrid(Draw* draw, PlantedProblem* problem) {
  const double n_first = draw->LogBetween(1e6, 1e8), d_first = draw->LogBetween(1e8, 1e10);
  const double n_range = draw->LogBetween(16, 256), d_range = draw->LogBetween(16, 256);
  const double n_mid = n_first * std::sqrt(n_range), d_mid = d_first * std::sqrt(d_range);
  const int n_sizes = draw->Integer(4, 7), n_tokens = draw->Integer(4, 7);
  const int seeds = draw->Integer(1, 2);
  const double beta = draw->Between(0.2, 0.6);
  const double alpha = problem->law == Law::kEqualExponent ? beta : draw->Between(0.2, 0.6);
  const double e = draw->Between(1, 3), a = draw->Between(0.2, 1), b = draw->Between(0.2, 1);
  std::vector<double> parts = {1};  // of D that is unique
  LossOf loss = [=](double n, double d, double) {
    return e + a * std::pow(n / n_mid, -alpha) + b * std::pow(d / d_mid, -beta);
  };
  problem->truth = {{"beta", beta}, {"E", e}};
  if (problem->law != Law::kEqualExponent) problem->truth.emplace_back("alpha", alpha);
  if (problem->law == Law::kKaplan) {
    const double small = draw->Between(0.05, 0.2), large = draw->Between(0.05, 0.2);
    problem->truth = {{"beta", large}, {"alpha", small}};
    loss = [=](double n, double d, double) {
      return std::pow(std::pow(2.5 * std::pow(n / n_mid, -small), 1 / large) +
                          std::pow(2.5 * std::pow(d / d_mid, -large), 1 / large),
                      large);
    };
  } else if (problem->law == Law::kDataConstrained) {
    parts = {1, 4, 32};
    const double r_d = draw->LogBetween(4, 30), r_n = draw->LogBetween(3, 20);
    const double big_a = a * std::pow(n_mid, alpha), big_b = b * std::pow(d_mid, beta);
    const double g = std::pow(alpha * big_a / (beta * big_b), 1 / (alpha + beta));
    loss = [=](double n, double d, double u) {
      const double u_n = std::min(n, std::pow(u * g, beta / alpha) * g);
      const double d_worth = u + u * r_d * -std::expm1(-(d / u - 1) / r_d);
      const double n_worth = u_n + u_n * r_n * -std::expm1(-(n / u_n - 1) / r_n);
      return e + big_a * std::pow(n_worth, -alpha) + big_b * std::pow(d_worth, -beta);
    };
  }
  for (const double n : LogRange(n_first, n_range, n_sizes)) {
    for (const double d : LogRange(d_first, d_range, n_tokens)) {
      for (const double part : parts) AddTrials(n, d, d / part, seeds, loss, draw, problem);
    }
  }
}

double Median(std::vector<double> values) {
  if (values.empty()) return kNoNumber;
  const auto middle = values.begin() + static_cast<int64_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

bool IsExponent(const std::string& name) {
  return absl::StartsWith(name, "beta") || name == "alpha";
}

struct Outcome {
  FitResult fit;
  std::vector<std::pair<std::string, double>> truth;
};

PlantedSummary Summarize(Law law, const std::vector<Outcome>& outcomes) {
  PlantedSummary summary;
  summary.law = law;
  std::vector<double> errors, identified_errors;
  int held = 0, counted = 0, identified_held = 0, identified_counted = 0;
  for (const auto& [fit, truth] : outcomes) {
    ++summary.problems;
    if (fit.verdict == FitVerdict::kRefused) {
      ++summary.refused;
      continue;
    }
    const bool identified = fit.verdict == FitVerdict::kIdentified;
    summary.not_converged += fit.provenance.optimizer_status != "CONVERGED";
    summary.at_bound += !fit.provenance.active_bounds.empty();
    summary.identified += identified;
    const double error = fit.Find(truth.front().first)->estimate - truth.front().second;
    errors.push_back(error);
    if (identified) identified_errors.push_back(error);
    for (const auto& [name, value] : truth) {
      if (!IsExponent(name)) continue;
      const FitParameter& p = *fit.Find(name);
      const bool holds = p.low <= value && value <= p.high;
      ++counted;
      held += holds;
      identified_counted += identified;
      identified_held += identified && holds;
    }
  }
  const auto sizes = [](std::vector<double> values) {
    for (double& value : values) value = std::fabs(value);
    return values;
  };
  summary.bias = Median(errors);
  summary.error = Median(sizes(errors));
  summary.bias_identified = Median(identified_errors);
  summary.error_identified = Median(sizes(identified_errors));
  summary.coverage = static_cast<double>(held) / counted;
  summary.coverage_identified = static_cast<double>(identified_held) / identified_counted;
  return summary;
}

}  // namespace

PlantedProblem MakePlantedProblem(uint64_t seed, int index) {
  Draw draw(seed, index);
  PlantedProblem problem;
  problem.law = kPlantedLaws[index % std::size(kPlantedLaws)];
  problem.sd = draw.LogBetween(0.0005, 0.01);
  if (IsJointLaw(problem.law)) {
    PlantGrid(&draw, &problem);
  } else {
    PlantLine(&draw, &problem);
  }
  return problem;
}

std::vector<PlantedSummary> RunPlantedProblems(uint64_t seed, int first, int count, int threads) {
  std::vector<Outcome> outcomes(count);
  ForEachIndex(count, threads, [&](int i) {
    PlantedProblem problem = MakePlantedProblem(seed, first + i);
    outcomes[i] = {*FitLaw(problem.trials, {.law = problem.law}), std::move(problem.truth)};
  });
  std::vector<PlantedSummary> summaries;
  for (const Law law : kPlantedLaws) {
    std::vector<Outcome> own;
    for (const Outcome& outcome : outcomes) {
      if (outcome.fit.kind == LawName(law)) own.push_back(outcome);
    }
    if (!own.empty()) summaries.push_back(Summarize(law, own));
  }
  return summaries;
}

std::string PlantedTable(const std::vector<PlantedSummary>& summaries) {
  std::string table =
      "| form | problems | did not converge | at a bound | identified | median bias | median size "
      "of "
      "error | coverage | the last three where identified "
      "|\n|---|---|---|---|---|---|---|---|---|\n";
  for (const PlantedSummary& s : summaries) {
    absl::StrAppendFormat(
        &table, "| %s | %d | %d | %d | %d | %+.5f | %.4f | %.3f | %+.5f, %.4f, %.3f |\n",
        LawName(s.law), s.problems, s.not_converged, s.at_bound, s.identified, s.bias, s.error,
        s.coverage, s.bias_identified, s.error_identified, s.coverage_identified);
  }
  return table;
}

}  // namespace loglog
