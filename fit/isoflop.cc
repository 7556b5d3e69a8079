#include "fit/isoflop.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "absl/strings/str_format.h"
#include "base/status.h"
#include "fit/distributions.h"
#include "fit/identified.h"
#include "fit/line.h"
#include "fit/means.h"
#include "fit/options.h"
#include "fit/status.h"

namespace loglog {
namespace {

constexpr int kSizesMin = 3;
constexpr int kBudgetsForInterval = 3;

// Exact through three points, where FitParabola has no degree of freedom left.
struct Vertex {
  bool ok = false;
  double at = 0;  // ln N
  double low = kNoNumber;
  double high = kNoNumber;
  double ln_loss = 0;
};

double Intercept(const LineData& data, double linear, double quadratic, double centre) {
  double total = 0, sum = 0;
  for (int i = 0; i < data.size(); ++i) {
    const double v = data.u[i] - centre;
    sum += data.weight[i] * (data.y[i] - linear * v - quadratic * v * v);
    total += data.weight[i];
  }
  return sum / total;
}

// The v where linear + 2*quadratic*v is not told from 0.
void Fieller(const Parabola& p, double confidence, Vertex* vertex) {
  const double t = TQuantile(0.5 + confidence / 2, p.df);
  const double scale = t * t * p.variance;
  const double a = 4 * (p.quadratic * p.quadratic - scale * p.unit_quadratic);
  const double b = 4 * (p.linear * p.quadratic - scale * p.unit_cross);
  const double c = p.linear * p.linear - scale * p.unit_linear;
  const double root = b * b - 4 * a * c;
  if (!(a > 0 && root >= 0)) {
    vertex->low = -std::numeric_limits<double>::infinity();
    vertex->high = std::numeric_limits<double>::infinity();
    return;
  }
  vertex->low = p.centre + (-b - std::sqrt(root)) / (2 * a);
  vertex->high = p.centre + (-b + std::sqrt(root)) / (2 * a);
}

Vertex VertexOf(const LineData& data, double confidence) {
  Parabola p;
  if (data.size() == kSizesMin) {
    // Newton's divided differences.
    const auto& u = data.u;
    const auto& y = data.y;
    const double first = (y[1] - y[0]) / (u[1] - u[0]);
    const double second = (y[2] - y[1]) / (u[2] - u[1]);
    p.centre = u[1];
    p.quadratic = (second - first) / (u[2] - u[0]);
    p.linear = first + p.quadratic * (u[1] - u[0]);
  } else {
    p = FitParabola(data);
    if (!p.ok) return {};
  }
  Vertex vertex;
  if (!(p.quadratic > 0)) return vertex;
  const double v = -p.linear / (2 * p.quadratic);
  vertex.ok = true;
  vertex.at = p.centre + v;
  vertex.ln_loss = Intercept(data, p.linear, p.quadratic, p.centre) + p.linear * v / 2;
  if (p.df >= 1) Fieller(p, confidence, &vertex);
  return vertex;
}

IsoFlopBudget FitBudget(absl::Span<const ConfigMean> points, double confidence) {
  LineData loss, tokens;
  IsoFlopBudget budget;
  double total = 0, ln_c = 0;
  for (const ConfigMean& point : points) {
    const double u = std::log(point.n_params);
    loss.u.push_back(u);
    loss.y.push_back(point.y);
    tokens.y.push_back(std::log(point.d_tokens));
    loss.weight.push_back(point.weight);
    loss.group.push_back(0);
    ln_c += point.weight * point.ln_x;
    total += point.weight;
  }
  tokens.u = loss.u;
  tokens.weight = loss.weight;
  tokens.group = loss.group;
  budget.c_flops = std::exp(ln_c / total);
  std::vector<double> sizes = loss.u;
  std::sort(sizes.begin(), sizes.end());
  sizes.erase(std::unique(sizes.begin(), sizes.end()), sizes.end());
  budget.n_sizes = static_cast<int>(sizes.size());
  if (budget.n_sizes < kSizesMin || (budget.n_sizes == kSizesMin && loss.size() > kSizesMin)) {
    budget.fault = absl::StrFormat("%d sizes, and a parabola needs %d; train %d more",
                                   budget.n_sizes, kSizesMin, kSizesMin - budget.n_sizes);
    if (budget.n_sizes == kSizesMin) {
      budget.fault = "several configurations of one size at this budget; keep one of each";
    }
    return budget;
  }
  const Vertex vertex = VertexOf(loss, confidence);
  if (!vertex.ok) {
    budget.fault = "FLAT: the loss has no minimum in N here; train sizes further apart";
    return budget;
  }
  if (vertex.at <= sizes.front() || vertex.at >= sizes.back()) {
    const bool below = vertex.at <= sizes.front();
    budget.fault =
        absl::StrFormat("the minimum is not inside the trained sizes; train one %s N = %.3g",
                        below ? "below" : "above", std::exp(below ? sizes.front() : sizes.back()));
    return budget;
  }
  budget.n_best = std::exp(vertex.at);
  budget.n_low = std::exp(vertex.low);
  budget.n_high = std::exp(vertex.high);
  budget.loss_best = std::exp(vertex.ln_loss);
  budget.d_best = std::exp(FitLine(tokens).Predict(0, vertex.at));
  return budget;
}

// "a" and "N_0" of a power law in C, with t intervals where there are budgets enough.
void AddPowerLaw(const std::vector<double>& ln_c, const std::vector<double>& y,
                 const std::string& exponent, const std::string& size, double confidence,
                 double huber_delta, FitResult* law) {
  LineData data;
  data.u = ln_c;
  data.y = y;
  data.weight.assign(y.size(), 1.0);
  data.group.assign(y.size(), 0);
  const Line line = FitLine(data);
  const double n = static_cast<double>(y.size());
  const double t = line.df >= 1 ? TQuantile(0.5 + confidence / 2, line.df) : kNoNumber;
  const double variance = line.df >= 1 ? line.rss / line.df : kNoNumber;
  const double half = t * std::sqrt(variance / line.suu);
  const double ln_size = line.Predict(0, 0);
  const double half_size =
      t * std::sqrt(variance * (1 / n + line.mean_u[0] * line.mean_u[0] / line.suu));
  law->parameters.push_back({.name = exponent,
                             .estimate = line.slope,
                             .low = line.slope - half,
                             .high = line.slope + half});
  law->parameters.push_back({.name = size,
                             .estimate = std::exp(ln_size),
                             .low = std::exp(ln_size - half_size),
                             .high = std::exp(ln_size + half_size)});
  const RobustSlopes robust = FitRobustSlopes(data, huber_delta);
  law->triples.push_back({exponent, line.slope, robust.huber, robust.lad});
}

}  // namespace

absl::StatusOr<IsoFlopFit> FitIsoFlop(absl::Span<const Observation> observations,
                                      const IsoFlopOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  LOGLOG_ASSIGN_OR_RETURN(const ConfigMeans means, MeansOverSeeds(observations, Axis::kFlops));
  IsoFlopFit fit;
  FitResult& law = fit.law;
  law.kind = "isoflop";
  FillCounts(means, &law);
  law.points.clear();
  law.definition =
      "exponents of the compute-optimal size N* and tokens D* in the budget C, from the minimum of "
      "a parabola of ln L in ln N at each budget";
  law.form = "N* = N_0*C^a, D* = D_0*C^b";
  law.provenance.confidence = options.confidence;
  law.provenance.huber_delta = options.huber_delta;
  law.provenance.objective = "least squares at each budget, then over budgets in ln C";
  law.provenance.optimizer_status = "CLOSED_FORM";

  std::vector<ConfigMean> points = means.points;
  std::sort(points.begin(), points.end(), [](const ConfigMean& a, const ConfigMean& b) {
    return std::pair(a.x, a.n_params) < std::pair(b.x, b.n_params);
  });
  std::vector<double> ln_c, ln_n, ln_d;
  for (size_t first = 0; first < points.size();) {
    size_t last = first + 1;
    while (last < points.size() && points[last].ln_x - points[last - 1].ln_x < options.ln_c_gap) {
      ++last;
    }
    std::vector<ConfigMean> own(points.begin() + first, points.begin() + last);
    std::sort(own.begin(), own.end(), [](const ConfigMean& a, const ConfigMean& b) {
      return std::pair(a.n_params, a.config) < std::pair(b.n_params, b.config);
    });
    IsoFlopBudget budget = FitBudget(own, options.confidence);
    if (means.shared_trunks) budget.n_low = budget.n_high = kNoNumber;
    if (budget.fault.empty()) {
      ln_c.push_back(std::log(budget.c_flops));
      ln_n.push_back(std::log(budget.n_best));
      ln_d.push_back(std::log(budget.d_best));
      law.points.push_back({.x = budget.c_flops,
                            .mean_loss = budget.loss_best,
                            .n = budget.n_sizes,
                            .other = budget.n_best});
    } else {
      law.notes.push_back(absl::StrFormat("C = %.3g: %s", budget.c_flops, budget.fault));
    }
    fit.budgets.push_back(std::move(budget));
    first = last;
  }
  const int usable = static_cast<int>(ln_c.size());
  law.n_distinct_x = usable;
  if (usable >= 2) {
    AddPowerLaw(ln_c, ln_n, "a", "N_0", options.confidence, options.huber_delta, &law);
    AddPowerLaw(ln_c, ln_d, "b", "D_0", options.confidence, options.huber_delta, &law);
    std::swap(law.parameters[1], law.parameters[2]);
  }
  if (usable < kBudgetsForInterval) {
    law.reason = absl::StrFormat(
        "a law over budgets needs %d with a minimum inside their sizes and there are %d of %d",
        kBudgetsForInterval, usable, fit.budgets.size());
  } else if (means.shared_trunks) {
    law.reason = kTrunksFault;
  } else {
    law.verdict = FitVerdict::kOk;
    law.reason = absl::StrFormat("%d budgets, %d trials", usable, law.n_trials);
    law.provenance.interval_basis = "budgets";
    law.provenance.interval_method = absl::StrFormat(
        "t with %d degrees of freedom over budgets, %g%%", usable - 2, 100 * options.confidence);
  }
  SetFitStatus(usable < kBudgetsForInterval, &law);
  if (means.shared_trunks) RemoveIntervals(&law);
  return fit;
}

}  // namespace loglog
