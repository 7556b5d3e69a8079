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

// phi(c) / Phi(c); far below, its asymptote.
double Hazard(double c) { return c > -30 ? NormalPdf(c) / NormalCdf(c) : -c * (1 + 1 / (c * c)); }

// E[z | z < c] and Var[z | z < c] of a standard normal z.
struct Truncated {
  double mean;
  double variance;
};
Truncated Below(double c) {
  const double hazard = Hazard(c);
  return {-hazard, std::max(0.0, 1 - c * hazard - hazard * hazard)};
}

// A law fitted to trials of which some are known from one side.
struct Fitted {
  const Form& form;
  const std::vector<double>& known;  // ln L, or its known end
  const std::vector<int>& side;      // 0: known; -1: it is below; 1: above
  const std::vector<double>& theta;
  double sd;
};

// Minus the second derivatives of the log likelihood by theta and ln sd, row-major; those of
// the law itself are left out, as in least squares.
std::vector<double> ObservedInformation(const Fitted& fitted) {
  const int p = fitted.form.dim(), dim = p + 1;
  std::vector<double> information(dim * dim, 0), jacobian(p);
  for (size_t i = 0; i < fitted.known.size(); ++i) {
    const double ln_l =
        fitted.form.LnLoss(fitted.theta.data(), fitted.form.u(i), 0, jacobian.data());
    const double sign = fitted.side[i] > 0 ? -1 : 1;
    const double z = sign * (fitted.known[i] - ln_l) / fitted.sd;
    // By z: -1 of -z^2/2, or of ln Phi(z). z falls by sign/sd with ln L and by z with ln sd.
    const double first = fitted.side[i] == 0 ? -z : Hazard(z);
    const double second = fitted.side[i] == 0 ? 1 : first * (z + first);
    const double by_law = second / (fitted.sd * fitted.sd);
    const double by_both = sign * (second * z - first) / fitted.sd;
    for (int a = 0; a < p; ++a) {
      for (int b = 0; b < p; ++b) information[a * dim + b] += by_law * jacobian[a] * jacobian[b];
      information[a * dim + p] += by_both * jacobian[a];
      information[p * dim + a] += by_both * jacobian[a];
    }
    information[p * dim + p] += second * z * z - first * z;
  }
  return information;
}

// How sure the parameters are.
struct Spread {
  std::vector<double> covariance;  // of theta, a row for each; empty where it cannot be told
  double df = 0;
};

Spread SpreadOf(const Fitted& fitted) {
  const int p = fitted.form.dim(), dim = p + 1;
  const Box& box = fitted.form.box();
  for (int i = 0; i < p; ++i) {
    if (fitted.theta[i] <= box.low[i] || fitted.theta[i] >= box.high[i]) return {};
  }
  const double n = static_cast<double>(fitted.known.size());
  if (n <= p || fitted.sd <= kSdMin) return {};
  const std::vector<double> inverse = InverseInformation(ObservedInformation(fitted), dim);
  if (inverse.empty()) return {};
  Spread spread{.covariance = std::vector<double>(p * p), .df = n - p};
  // Maximum likelihood divides by all trials.
  for (int a = 0; a < p; ++a) {
    for (int b = 0; b < p; ++b) spread.covariance[a * p + b] = inverse[a * dim + b] * n / (n - p);
  }
  return spread;
}

FitParameter ParameterOf(const Fitted& fitted, int i, const Spread& spread, double confidence) {
  const FormParameter& parameter = fitted.form.parameters()[i];
  FitParameter result{.name = parameter.name,
                      .estimate = fitted.form.Natural(fitted.theta.data(), i)};
  const std::vector<double>& covariance = spread.covariance;
  if (covariance.empty()) return result;
  const int p = fitted.form.dim();
  double variance = covariance[i * p + i];
  if (parameter.kind == ParameterKind::kTerm) {
    // ln of the number is theta plus its exponent times where the data's middle is.
    const int e = parameter.exponent;
    const double middle = fitted.form.ln_x_mean(parameter.column);
    variance += 2 * middle * covariance[i * p + e] + middle * middle * covariance[e * p + e];
  }
  const double width = TQuantile((1 + confidence) / 2, spread.df) * std::sqrt(variance);
  const bool plain = parameter.kind == ParameterKind::kExponent;
  result.low = plain ? result.estimate - width : result.estimate * std::exp(-width);
  result.high = plain ? result.estimate + width : result.estimate * std::exp(width);
  return result;
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
  const Fitted fitted{*form, known, of, theta, sd};
  const Spread spread = SpreadOf(fitted);
  for (const FitParameter& parameter : result.without.parameters) {
    for (int i = 0; i < form->dim(); ++i) {
      if (form->parameters()[i].name != parameter.name) continue;
      result.with.push_back(ParameterOf(fitted, i, spread, options.confidence));
      // Not independent, see kTrunksFault.
      if (means.shared_trunks) result.with.back().low = result.with.back().high = kNoNumber;
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
                             {"low", number(with.low)},
                             {"high", number(with.high)},
                             {"without", number(fit.without.Find(with.name)->estimate)}};
  }
  all["parameters"] = std::move(parameters);
  all["residual_sd"] = number(fit.residual_sd);
  all["converged"] = fit.converged;
  return all;
}

}  // namespace loglog
