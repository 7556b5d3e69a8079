#include "fit/arms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <memory>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/status.h"
#include "fit/form_fit.h"
#include "fit/options.h"
#include "fit/power_sum.h"

namespace loglog {
namespace {

// Held-out errors are differences of minima, which are known to so many digits.
constexpr double kSameError = 1e-6;

// Several arms' forms over one theta: arm g's component i is theta[index[g][i]].
class TiedForm : public Form {
 public:
  TiedForm(const Sample& sample, const std::vector<double>& centres,
           const std::vector<PowerSum>& parts, const std::vector<std::string>& names,
           const std::set<std::string>& shared)
      : Form(sample, centres), parts_(parts) {
    std::map<std::string, int> tied;
    for (const PowerSum& part : parts_) {
      std::vector<int> index;
      for (int i = 0; i < part.dim(); ++i) {
        const std::string& own = part.parameters()[i].name;
        const bool is_shared = shared.contains(own);
        if (is_shared && tied.contains(own)) {
          index.push_back(tied[own]);
          continue;
        }
        FormParameter parameter = part.parameters()[i];
        if (!is_shared) parameter.name = absl::StrCat(own, "[", names[index_.size()], "]");
        index.push_back(dim());
        if (is_shared) tied[own] = dim();
        double low = part.box().low[i], high = part.box().high[i];
        for (const PowerSum& other : parts_) {
          if (!is_shared) break;
          low = std::min(low, other.box().low[i]);
          // A floor that all share lies below every arm's losses.
          high = parameter.kind == ParameterKind::kFloor ? std::min(high, other.box().high[i])
                                                         : std::max(high, other.box().high[i]);
        }
        AddParameter(std::move(parameter), low, high);
      }
      index_.push_back(std::move(index));
    }
    // A term's exponent is an index into its own arm's theta so far.
    for (size_t g = 0; g < parts_.size(); ++g) {
      for (int i = 0; i < parts_[g].dim(); ++i) {
        const int exponent = parts_[g].parameters()[i].exponent;
        if (exponent >= 0) SetExponent(index_[g][i], index_[g][exponent]);
      }
    }
  }

  double LnLoss(const double* theta, const double* u, int arm, double* jacobian) const override {
    const std::vector<int>& index = index_[arm];
    double own[5];
    double own_jacobian[5];
    for (size_t i = 0; i < index.size(); ++i) own[i] = theta[index[i]];
    const double ln_l = parts_[arm].LnLoss(own, u, 0, jacobian == nullptr ? nullptr : own_jacobian);
    if (jacobian == nullptr) return ln_l;
    std::fill(jacobian, jacobian + dim(), 0.0);
    for (size_t i = 0; i < index.size(); ++i) jacobian[index[i]] = own_jacobian[i];
    return ln_l;
  }

  // Every arm's own minimum; what is shared starts at the mean over arms and at each
  // arm's value.
  std::vector<std::vector<double>> Starts() const override {
    std::vector<std::vector<double>> minima;
    for (const PowerSum& part : parts_) {
      minima.push_back(MinimizeSquares(part, part.Starts()).theta);
    }
    std::vector<std::vector<double>> starts;
    for (int from = -1; from < static_cast<int>(parts_.size()); ++from) {
      std::vector<double> theta(dim(), 0.0);
      std::vector<double> times(dim(), 0.0);
      for (size_t g = 0; g < parts_.size(); ++g) {
        for (size_t i = 0; i < index_[g].size(); ++i) {
          theta[index_[g][i]] += minima[g][i];
          times[index_[g][i]] += 1;
        }
      }
      for (int i = 0; i < dim(); ++i) theta[i] /= times[i];
      for (size_t i = 0; from >= 0 && i < index_[from].size(); ++i) {
        theta[index_[from][i]] = minima[from][i];
      }
      for (int i = 0; i < dim(); ++i) {
        theta[i] = std::min(std::max(theta[i], box().low[i]), box().high[i]);
      }
      starts.push_back(std::move(theta));
    }
    return starts;
  }
  int starts_ranked() const override { return 1 + static_cast<int>(parts_.size()); }
  std::unique_ptr<Form> Clone() const override { return std::make_unique<TiedForm>(*this); }

 private:
  std::vector<PowerSum> parts_;
  std::vector<std::vector<int>> index_;
};

std::vector<std::set<std::string>> Sharings(Law law, Axis axis) {
  if (law == Law::kSaturating) {
    const bool size = axis == Axis::kParams;
    return {{}, {"E"}, {size ? "A" : "B", size ? "alpha" : "beta"}};
  }
  return {{}, {"E"}, {"A", "alpha"}, {"E", "A", "alpha"}};
}

std::string Words(const std::set<std::string>& shared) {
  if (shared.empty()) return "all free";
  std::string text = "shared";
  const char* separator = " ";
  for (const char* name : {"E", "A", "alpha", "B", "beta"}) {
    if (!shared.contains(name)) continue;
    absl::StrAppend(&text, separator, name);
    separator = ", ";
  }
  return text;
}

// All arms' points, and each arm's form, centred alike.
std::unique_ptr<TiedForm> Tie(Law law, absl::Span<const ConfigMeans> arms,
                              const std::vector<std::string>& names,
                              const std::set<std::string>& shared) {
  Sample all;
  std::vector<Sample> own(arms.size());
  for (size_t g = 0; g < arms.size(); ++g) {
    for (const ConfigMean& point : arms[g].points) {
      const std::vector<double> columns = ColumnsOf(law, point);
      for (Sample* sample : {&all, &own[g]}) {
        sample->ln_x.resize(columns.size());
        for (size_t c = 0; c < columns.size(); ++c) sample->ln_x[c].push_back(columns[c]);
        sample->y.push_back(point.y);
        sample->weight.push_back(point.weight);
      }
      all.arm.push_back(static_cast<int>(g));
    }
  }
  std::vector<double> centres;
  for (const std::vector<double>& column : all.ln_x) {
    double mean = 0;
    for (const double value : column) mean += value / static_cast<double>(column.size());
    centres.push_back(mean);
  }
  PowerSumShape shape;
  if (law == Law::kJoint) {
    shape.term_names = {"A", "B"};
    shape.exponent_names = {"alpha", "beta"};
  } else if (arms.front().axis == Axis::kParams) {
    shape.term_names = {"A"};
    shape.exponent_names = {"alpha"};
  }
  shape.centres = centres;
  std::vector<PowerSum> parts;
  for (const Sample& sample : own) parts.emplace_back(sample, shape);
  return std::make_unique<TiedForm>(all, centres, parts, names, shared);
}

double HeldOutError(Law law, absl::Span<const ConfigMeans> arms,
                    const std::vector<std::string>& names, const std::set<std::string>& shared) {
  std::vector<ConfigMeans> rest;
  for (const ConfigMeans& arm : arms) {
    rest.push_back(arm.WithoutLargest());
    if (rest.back().points.empty() || !WhyTooFew(law, rest.back()).empty()) return kNoNumber;
  }
  const std::unique_ptr<TiedForm> form = Tie(law, rest, names, shared);
  const Minimum minimum = MinimizeSquares(*form, form->Starts());
  double squares = 0, weight = 0;
  for (size_t g = 0; g < arms.size(); ++g) {
    for (const ConfigMean& point : arms[g].points) {
      if (point.x != arms[g].x_max()) continue;
      const double error =
          form->Predict(minimum.theta.data(), ColumnsOf(law, point), static_cast<int>(g)) - point.y;
      squares += point.weight * error * error;
      weight += point.weight;
    }
  }
  return std::sqrt(squares / weight);
}

}  // namespace

absl::StatusOr<ArmsFit> FitArms(absl::Span<const ArmTrials> arms, const LawOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  if (options.law != Law::kSaturating && options.law != Law::kJoint) {
    return absl::InvalidArgumentError(
        absl::StrCat("arms share parameters of the saturating and the joint form, not of '",
                     LawName(options.law), "'"));
  }
  if (arms.size() < 2 || arms.size() > kArmsMax) {
    return absl::InvalidArgumentError(
        absl::StrFormat("%d arms were given, and sharing is for 2 to %d; fit the others alone",
                        arms.size(), kArmsMax));
  }
  ArmsFit fit;
  std::vector<ConfigMeans> means;
  std::vector<std::string> names;
  const Axis axis = IsJointLaw(options.law) ? Axis::kTokens : options.axis;
  int n = 0;
  for (const ArmTrials& arm : arms) {
    if (std::find(names.begin(), names.end(), arm.name) != names.end()) {
      return absl::InvalidArgumentError(absl::StrCat("arm '", arm.name, "' is given twice"));
    }
    names.push_back(arm.name);
    LOGLOG_ASSIGN_OR_RETURN(ConfigMeans own, MeansOverSeeds(arm.trials, axis));
    std::string why = WhyTooFew(options.law, own);
    if (why.empty() && !IsJointLaw(options.law) && own.group_sizes.size() > 1) {
      why = absl::StrFormat("it mixes %d values of %s", own.group_sizes.size(), GroupSymbol(axis));
    }
    if (!why.empty()) {
      fit.reason = absl::StrCat("arm ", arm.name, ": ", why);
      return fit;
    }
    n += static_cast<int>(own.points.size());
    means.push_back(std::move(own));
  }

  for (const std::set<std::string>& shared : Sharings(options.law, axis)) {
    const std::unique_ptr<TiedForm> form = Tie(options.law, means, names, shared);
    const Minimum minimum = MinimizeSquares(*form, form->Starts());
    ArmsChoice choice;
    choice.sharing = Words(shared);
    choice.n_parameters = form->dim();
    choice.rss = minimum.value;
    choice.aicc = Aicc(minimum.value, n, form->dim());
    choice.held_out_error = HeldOutError(options.law, means, names, shared);
    choice.optimizer_status = minimum.status;
    if (n > form->dim()) {
      FormIntervals intervals(*form, minimum.theta, minimum.value, options.confidence);
      std::vector<std::string> notes;
      for (int i = 0; i < form->dim(); ++i) {
        const bool term = form->parameters()[i].kind == ParameterKind::kTerm;
        choice.parameters.push_back(term ? intervals.DeltaOfTerm(i)
                                         : intervals.ProfileOf(i, &notes));
      }
      if (intervals.found_lower()) choice.optimizer_status = "MULTIMODAL";
    }
    fit.choices.push_back(std::move(choice));
  }
  // Sharings come from the most parameters to the fewest: of two that predict as well, to the
  // digits that minima have, the later one needs less.
  double aicc = std::numeric_limits<double>::infinity(), held_out = aicc;
  for (int i = 0; i < static_cast<int>(fit.choices.size()); ++i) {
    if (fit.choices[i].aicc < aicc) {
      aicc = fit.choices[i].aicc;
      fit.best_by_aicc = i;
    }
    if (fit.choices[i].held_out_error < held_out * (1 + kSameError)) {
      held_out = std::min(held_out, fit.choices[i].held_out_error);
      fit.best_by_held_out = i;
    }
  }
  if (fit.best_by_aicc >= 0 && fit.best_by_held_out >= 0 &&
      fit.best_by_aicc != fit.best_by_held_out) {
    fit.reason =
        absl::StrCat("AICc prefers ", fit.choices[fit.best_by_aicc].sharing,
                     " and the held-out error prefers ", fit.choices[fit.best_by_held_out].sharing,
                     ": these points do not settle what the arms share");
  }
  return fit;
}

}  // namespace loglog
