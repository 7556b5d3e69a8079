#include "fit/validation.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <limits>
#include <memory>
#include <set>
#include <utility>

#include "fit/distributions.h"
#include "fit/form_fit.h"
#include "fit/prediction.h"

namespace loglog {
namespace {

// Budgets that are predicted, the dearest: each takes a fit of its own.
constexpr size_t kFoldsMax = 6;

double CostOf(const ConfigMean& point) {
  return point.c_flops > 0 ? point.c_flops : 6 * point.n_params * point.d_tokens;
}

// The points that `keep` says; group numbers stay.
template <typename Keep>
ConfigMeans Subset(const ConfigMeans& means, Keep keep) {
  ConfigMeans rest;
  rest.axis = means.axis;
  rest.group_sizes = means.group_sizes;
  rest.shared_trunks = means.shared_trunks;
  std::set<double> xs;
  for (const ConfigMean& point : means.points) {
    if (!keep(point)) continue;
    rest.points.push_back(point);
    xs.insert(point.x);
  }
  rest.n_distinct_x = static_cast<int>(xs.size());
  return rest;
}

struct Fitted {
  std::unique_ptr<Form> form;
  Minimum minimum;
};

// The best start, or one beside it, of starts along one exponent: they are a profile, which is
// smooth, so every fourth says where to look.
std::vector<double> BestAlong(const Form& form, std::vector<std::vector<double>> starts) {
  constexpr int kStride = 4;
  const int n = static_cast<int>(starts.size());
  double least = std::numeric_limits<double>::infinity();
  int best = 0;
  const auto look = [&](int i) {
    const double value = form.Value(Loss::Squares(), starts[i].data(), nullptr);
    if (!(value < least)) return;
    least = value;
    best = i;
  };
  for (int i = 0; i < n; i += kStride) look(i);
  const int around = best;
  for (int i = std::max(0, around - kStride + 1); i < std::min(n, around + kStride); ++i) {
    if (i != around) look(i);
  }
  return std::move(starts[best]);
}

Fitted FitTo(Law law, const ConfigMeans& means) {
  Fitted fitted;
  fitted.form = MakeForm(law, means);
  std::vector<std::vector<double>> starts = fitted.form->Starts();
  if (fitted.form->dim() <= 3) starts = {BestAlong(*fitted.form, std::move(starts))};
  fitted.minimum = MinimizeSquares(*fitted.form, starts, kStartsToAgree);
  return fitted;
}

}  // namespace

std::vector<FitFold> RollingOrigin(Law law, const ConfigMeans& means, double confidence) {
  std::set<double> costs;
  for (const ConfigMean& point : means.points) costs.insert(CostOf(point));
  std::vector<FitFold> folds;
  auto next = costs.begin();
  if (costs.size() > kFoldsMax) std::advance(next, costs.size() - kFoldsMax);
  for (; next != costs.end(); ++next) {
    const ConfigMeans known = Subset(means, [&](const ConfigMean& p) { return CostOf(p) < *next; });
    if (known.points.empty() || !WhyTooFew(law, known).empty()) continue;
    const Fitted fitted = FitTo(law, known);
    const FormIntervals intervals(*fitted.form, fitted.minimum.theta, fitted.minimum.value,
                                  confidence);
    for (const ConfigMean& point : means.points) {
      if (CostOf(point) != *next) continue;
      const Prediction prediction = PredictAt(*fitted.form, fitted.minimum.theta, &intervals,
                                              ColumnsOf(law, point), point.weight, confidence,
                                              /*band=*/false);
      FitFold fold;
      fold.n_fitted = static_cast<int>(known.points.size());
      fold.x = point.x;
      fold.error = std::expm1(prediction.ln_loss - point.y);
      fold.covered = std::isnan(prediction.new_low)                                    ? -1
                     : prediction.new_low <= point.y && point.y <= prediction.new_high ? 1
                                                                                       : 0;
      folds.push_back(fold);
    }
  }
  return folds;
}

double LeaveLargestOutError(Law law, const ConfigMeans& means, absl::Span<const FitFold> folds) {
  const auto size_of = [&](const ConfigMean& point) {
    return IsJointLaw(law) ? CostOf(point) : point.x;
  };
  double largest = 0, dearest = 0;
  for (const ConfigMean& point : means.points) {
    largest = std::max(largest, size_of(point));
    dearest = std::max(dearest, CostOf(point));
  }
  std::vector<const ConfigMean*> left_out;
  bool same = true;
  for (const ConfigMean& point : means.points) {
    same = same && (size_of(point) == largest) == (CostOf(point) == dearest);
    if (size_of(point) == largest) left_out.push_back(&point);
  }
  const ConfigMeans rest =
      Subset(means, [&](const ConfigMean& point) { return size_of(point) < largest; });
  if (rest.points.empty() || !WhyTooFew(law, rest).empty()) return kNoNumber;
  std::vector<double> errors;
  if (same) {
    for (const FitFold& fold : folds.last(left_out.size())) errors.push_back(fold.error);
  } else {
    const Fitted fitted = FitTo(law, rest);
    for (const ConfigMean* point : left_out) {
      const double predicted =
          fitted.form->Predict(fitted.minimum.theta.data(), ColumnsOf(law, *point));
      errors.push_back(std::expm1(predicted - point->y));
    }
  }
  double sum = 0;
  double weight = 0;
  for (size_t i = 0; i < errors.size(); ++i) {
    sum += left_out[i]->weight * errors[i];
    weight += left_out[i]->weight;
  }
  return sum / weight;
}

}  // namespace loglog
