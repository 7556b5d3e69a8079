#include "fit/censored.h"

#include <cmath>
#include <memory>
#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "fit/distributions.h"
#include "fit/form_fit.h"
#include "nlohmann/json.hpp"

namespace loglog {
namespace {

constexpr int kIterationsMax = 2000;
constexpr double kTolerance = 1e-10;
// Residuals of an exact fit; keeps the likelihood bounded.
constexpr double kSdMin = 1e-12;

// E[z | z < c] and Var[z | z < c] of a standard normal z.
struct Truncated {
  double mean;
  double variance;
};
Truncated Below(double c) {
  // phi(c) / Phi(c); far below, its asymptote.
  const double ratio = c > -30 ? NormalPdf(c) / NormalCdf(c) : -c * (1 + 1 / (c * c));
  return {-ratio, std::max(0.0, 1 - c * ratio - ratio * ratio)};
}

}  // namespace

absl::StatusOr<CensoredFit> FitCensored(absl::Span<const Observation> finished,
                                        absl::Span<const CensoredTrial> censored,
                                        const LawOptions& options) {
  CensoredFit result;
  LOGLOG_ASSIGN_OR_RETURN(result.without, FitLaw(finished, options));
  result.n_censored = static_cast<int>(censored.size());
  if (result.without.parameters.empty()) {
    result.why_not = result.without.reason;
    return result;
  }
  // Single trials: a mean over seeds of which some are censored has no simple law.
  std::vector<Observation> all(finished.begin(), finished.end());
  for (const CensoredTrial& trial : censored) all.push_back(trial.trial);
  std::vector<int> side(all.size(), 0);
  for (size_t i = 0; i < all.size(); ++i) {
    all[i].config = absl::StrCat(i);
    all[i].seed = 0;
    if (i >= finished.size()) side[i] = censored[i - finished.size()].loss_is_lower ? 1 : -1;
  }
  const Axis axis = IsJointLaw(options.law) ? Axis::kTokens : options.axis;
  LOGLOG_ASSIGN_OR_RETURN(const ConfigMeans means, MeansOverSeeds(all, axis));
  std::unique_ptr<Form> form = MakeForm(options.law, means);
  const int n = form->size();
  std::vector<double> known(n);
  std::vector<int> of(n);
  for (int i = 0; i < n; ++i) {
    known[i] = form->y(i);
    of[i] = side[std::stoi(means.points[i].config)];
  }

  std::vector<double> theta = MinimizeSquares(*form, form->Starts()).theta;
  double sd = std::max(kSdMin, std::sqrt(form->Value(Loss::Squares(), theta.data(), nullptr) / n));
  for (int iteration = 0; iteration < kIterationsMax && !result.converged; ++iteration) {
    std::vector<double> y = known;
    double spread = 0;
    for (int i = 0; i < n; ++i) {
      if (of[i] == 0) continue;
      const double ln_l = form->LnLoss(theta.data(), form->u(i), 0, nullptr);
      // A trial known from below is one known from above with the sign turned.
      const double sign = of[i] < 0 ? 1 : -1;
      const Truncated truncated = Below(sign * (known[i] - ln_l) / sd);
      y[i] = ln_l + sign * sd * truncated.mean;
      spread += sd * sd * truncated.variance;
    }
    form = form->WithY(std::move(y));
    const double rss = form->Refine(0, theta.data());
    const double next = std::max(kSdMin, std::sqrt((rss + spread) / n));
    result.converged = std::fabs(next / sd - 1) < kTolerance;
    sd = next;
  }
  result.residual_sd = sd;
  for (const FitParameter& parameter : result.without.parameters) {
    for (int i = 0; i < form->dim(); ++i) {
      if (form->parameters()[i].name != parameter.name) continue;
      result.with.push_back({.name = parameter.name, .estimate = form->Natural(theta.data(), i)});
    }
  }
  return result;
}

absl::StatusOr<CensoredFit> FitCensoredKind(absl::string_view kind, Axis axis,
                                            absl::Span<const Observation> finished,
                                            absl::Span<const CensoredTrial> censored) {
  const bool slope = kind == "local_slope";
  const absl::StatusOr<Law> law = slope ? Law::kPower : ParseLaw(kind);
  if (!law.ok()) {
    CensoredFit none;
    none.n_censored = static_cast<int>(censored.size());
    none.why_not = absl::StrCat("censored trials go into laws of one arm, and ", kind, " is none");
    return none;
  }
  LOGLOG_ASSIGN_OR_RETURN(CensoredFit fit,
                          FitCensored(finished, censored, {.law = *law, .axis = axis}));
  if (!slope) return fit;
  for (std::vector<FitParameter>* parameters : {&fit.without.parameters, &fit.with}) {
    for (FitParameter& parameter : *parameters) {
      if (parameter.name != "beta" && parameter.name != "alpha" && parameter.name != "gamma") {
        continue;
      }
      parameter = {.name = "slope",
                   .estimate = -parameter.estimate,
                   .low = -parameter.high,
                   .high = -parameter.low};
    }
  }
  return fit;
}

nlohmann::json CensoredJson(const CensoredFit& fit) {
  nlohmann::json all = {{"n", fit.n_censored}};
  if (!fit.why_not.empty()) {
    all["why_not"] = fit.why_not;
    return all;
  }
  const auto number = [](double value) {
    return std::isfinite(value) ? nlohmann::json(value) : nlohmann::json("nan");
  };
  nlohmann::json parameters = nlohmann::json::object();
  for (const FitParameter& with : fit.with) {
    parameters[with.name] = {{"with", number(with.estimate)},
                             {"without", number(fit.without.Find(with.name)->estimate)}};
  }
  all["parameters"] = std::move(parameters);
  all["residual_sd"] = number(fit.residual_sd);
  all["converged"] = fit.converged;
  return all;
}

}  // namespace loglog
