#include "fit/law_fit.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <set>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "base/check.h"
#include "base/status.h"
#include "fit/form_fit.h"
#include "fit/identified.h"
#include "fit/laws.h"
#include "fit/options.h"
#include "fit/power_sum.h"
#include "fit/status.h"
#include "fit/validation.h"

namespace loglog {
namespace {

struct LawInfo {
  Law law;
  const char* name;
  int parameters;
  const char* form;  // for laws in one variable with x, B and beta to be replaced
  const char* definition;
};

constexpr LawInfo kLaws[] = {
    {Law::kPower, "power", 2, "L = B*x^-beta",
     "exponent of a power law without a floor: minus the local log-log slope over the range"},
    {Law::kSaturating, "saturating", 3, "L = E + B*x^-beta",
     "exponent of a form with a free floor E (3 parameters; not the local log-log slope)"},
    {Law::kJoint, "joint", 5, "L = E + A*N^-alpha + B*D^-beta",
     "exponents alpha of N and beta of D of a form with a free floor E"},
    {Law::kEqualExponent, "equal_exponent", 4, "L = E + A*N^-beta + B*D^-beta",
     "one exponent for N and D of a form with a free floor E"},
    {Law::kKaplan, "kaplan", 4, "L = ((A*N^-alpha)^(1/beta) + (B*D^-beta)^(1/beta))^beta",
     "exponents alpha of N and beta of D of a form without a floor in which size and data limit "
     "each other; N_c = A^(1/alpha), D_c = B^(1/beta)"},
    {Law::kDataConstrained, "data_constrained", 7, "L = E + A*N'^-alpha + B*D'^-beta",
     "exponents of a form with a free floor E in which repeated tokens and spare parameters "
     "count for less: R_D and R_N are how many repetitions are worth about as much as new ones"},
    {Law::kBroken, "broken", 5, "ln L = ln B - beta_before*ln x, turning to beta_after at x0",
     "exponents before and after one break of a power law without a floor"},
};

const LawInfo& InfoOf(Law law) {
  for (const LawInfo& info : kLaws) {
    if (info.law == law) return info;
  }
  LOGLOG_CHECK(false);
  return kLaws[0];
}

PowerSumShape ShapeOf(Law law, Axis axis) {
  PowerSumShape shape;
  shape.floor = law != Law::kPower;
  shape.equal_exponents = law == Law::kEqualExponent;
  if (IsJointLaw(law)) {
    shape.term_names = {"A", "B"};
    shape.exponent_names = {"alpha", "beta"};
  } else if (axis == Axis::kParams) {
    shape.term_names = {"A"};
    shape.exponent_names = {"alpha"};
  }
  return shape;
}

// The form's text with the axis in it.
std::string FormText(Law law, Axis axis) {
  std::string text = InfoOf(law).form;
  if (IsJointLaw(law)) return text;
  const std::string x = AxisSymbol(axis);
  if (law == Law::kBroken) {
    return absl::StrFormat("ln L = ln B - beta_before*ln %s, turning to beta_after at %s = x0", x,
                           x);
  }
  const PowerSumShape shape = ShapeOf(law, axis);
  return absl::StrCat("L = ", shape.floor ? "E + " : "", shape.term_names[0], "*", x, "^-",
                      shape.exponent_names[0]);
}

// Exponents first, the law's headline before them, then sizes, then terms.
std::vector<int> ReportOrder(const Form& form) {
  std::vector<int> order;
  for (const ParameterKind kind :
       {ParameterKind::kExponent, ParameterKind::kFloor, ParameterKind::kLog, ParameterKind::kSize,
        ParameterKind::kTerm}) {
    std::vector<int> of_kind;
    for (int i = 0; i < form.dim(); ++i) {
      if (form.parameters()[i].kind == kind) of_kind.push_back(i);
    }
    if (kind == ParameterKind::kExponent) std::reverse(of_kind.begin(), of_kind.end());
    order.insert(order.end(), of_kind.begin(), of_kind.end());
  }
  return order;
}

void FillTriples(const Form& form, const std::vector<int>& order,
                 const std::vector<double>& squares, const std::vector<double>& huber,
                 const std::vector<double>& lad, FitResult* result) {
  for (const int i : order) {
    result->triples.push_back({form.parameters()[i].name, form.Natural(squares.data(), i),
                               form.Natural(huber.data(), i), form.Natural(lad.data(), i)});
  }
}

// Faults of the exponents of a law with a floor, named when there are several.
std::vector<std::string> ExponentFaults(const Form& form, const FormIntervals& intervals,
                                        const FitResult& result) {
  int floor = -1;
  int exponents = 0;
  for (int i = 0; i < form.dim(); ++i) {
    if (form.parameters()[i].kind == ParameterKind::kFloor) floor = i;
    exponents += form.parameters()[i].kind == ParameterKind::kExponent;
  }
  std::vector<std::string> faults;
  for (int i = 0; i < form.dim(); ++i) {
    const FormParameter& about = form.parameters()[i];
    if (about.kind != ParameterKind::kExponent) continue;
    const double correlation = floor >= 0 ? intervals.Correlation(floor, i) : 0;
    for (const std::string& fault : IdentificationFaults(*result.Find(about.name), correlation)) {
      faults.push_back(exponents > 1 ? absl::StrCat(about.name, ": ", fault) : fault);
    }
  }
  return faults;
}

}  // namespace

const char* LawName(Law law) { return InfoOf(law).name; }

absl::StatusOr<Law> ParseLaw(absl::string_view name) {
  std::vector<std::string> names;
  for (const LawInfo& info : kLaws) {
    if (name == info.name) return info.law;
    names.push_back(info.name);
  }
  return absl::InvalidArgumentError(
      absl::StrCat("form '", name, "' is unknown; choose one of ", absl::StrJoin(names, ", ")));
}

bool IsJointLaw(Law law) {
  return law == Law::kJoint || law == Law::kEqualExponent || law == Law::kKaplan ||
         law == Law::kDataConstrained;
}

std::vector<double> ColumnsOf(Law law, const ConfigMean& point) {
  if (!IsJointLaw(law)) return {point.ln_x};
  std::vector<double> columns = {std::log(point.n_params), std::log(point.d_tokens)};
  if (law == Law::kDataConstrained) columns.push_back(std::log(point.d_unique));
  return columns;
}

std::unique_ptr<Form> MakeForm(Law law, const ConfigMeans& means) {
  Sample sample;
  for (const ConfigMean& point : means.points) {
    const std::vector<double> columns = ColumnsOf(law, point);
    sample.ln_x.resize(columns.size());
    for (size_t c = 0; c < columns.size(); ++c) sample.ln_x[c].push_back(columns[c]);
    sample.y.push_back(point.y);
    sample.weight.push_back(point.weight);
  }
  if (law == Law::kKaplan) return std::make_unique<KaplanForm>(sample);
  if (law == Law::kDataConstrained) return std::make_unique<RepeatedDataForm>(sample);
  if (law == Law::kBroken) return std::make_unique<BrokenForm>(sample);
  return std::make_unique<PowerSum>(sample, ShapeOf(law, means.axis));
}

std::string WhyMixed(Law law, const ConfigMeans& means) {
  if (IsJointLaw(law) || means.group_sizes.size() <= 1) return "";
  return absl::StrFormat(
      "the trials mix %d values of %s, and this form has one; fit each alone, or all with the "
      "joint form",
      means.group_sizes.size(), GroupSymbol(means.axis));
}

std::string WhyTooFew(Law law, const ConfigMeans& means) {
  const int parameters = InfoOf(law).parameters;
  const int have = static_cast<int>(means.points.size());
  if (!IsJointLaw(law)) {
    const char* x = AxisSymbol(means.axis);
    if (means.n_distinct_x > parameters) return "";
    return absl::StrFormat(
        "%d parameters need %d configurations at different %s and there are %d; train %d more",
        parameters, parameters + 1, x, means.n_distinct_x, parameters + 1 - means.n_distinct_x);
  }
  constexpr int kDistinctMin = 3;
  std::set<double> sizes, tokens, repeats;
  for (const ConfigMean& point : means.points) {
    sizes.insert(point.n_params);
    tokens.insert(point.d_tokens);
    repeats.insert(point.d_tokens / point.d_unique);
  }
  if (have <= parameters || sizes.size() < kDistinctMin || tokens.size() < kDistinctMin) {
    return absl::StrFormat(
        "%d parameters need %d configurations with %d values of N and %d of D; there are %d with "
        "%d and %d",
        parameters, parameters + 1, kDistinctMin, kDistinctMin, have, sizes.size(), tokens.size());
  }
  if (law == Law::kDataConstrained && repeats.size() < kDistinctMin) {
    return absl::StrFormat(
        "what repetition costs needs %d different numbers of epochs and there are %d; train on "
        "fewer unique tokens for more epochs, or use the joint form",
        kDistinctMin, repeats.size());
  }
  return "";
}

absl::StatusOr<FitResult> FitLaw(absl::Span<const Observation> observations,
                                 const LawOptions& options) {
  LOGLOG_RETURN_IF_ERROR(CheckFitOptions(options.confidence, options.huber_delta));
  const Axis axis = IsJointLaw(options.law) ? Axis::kTokens : options.axis;
  absl::StatusOr<ConfigMeans> means_or = MeansOverSeeds(observations, axis);
  if (!means_or.ok()) return means_or.status();
  const ConfigMeans& means = *means_or;
  FitResult result;
  result.kind = LawName(options.law);
  FillCounts(means, &result);
  result.definition = InfoOf(options.law).definition;
  result.form = FormText(options.law, axis);
  FitProvenance& provenance = result.provenance;
  provenance.confidence = options.confidence;
  provenance.huber_delta = options.huber_delta;
  provenance.objective =
      "sum of squares of ln residuals of means over seeds, weighted by their precision";
  result.reason = WhyTooFew(options.law, means);
  const bool too_few = !result.reason.empty();
  if (!too_few) result.reason = WhyMixed(options.law, means);
  if (!result.reason.empty()) {
    SetFitStatus(too_few, &result);
    return result;
  }

  const std::unique_ptr<Form> form = MakeForm(options.law, means);
  const std::vector<std::vector<double>> starts = form->Starts();
  const Minimum squares = MinimizeSquares(*form, starts);
  const Minimum huber = MinimizeHuber(*form, starts, options.huber_delta);
  RecordMinimum(squares, &provenance);
  provenance.active_bounds = ActiveBounds(*form, squares.theta);
  provenance.aicc = Aicc(squares.value, form->size(), form->dim());
  provenance.in_sample_error = std::sqrt(squares.value / form->total_weight());
  const std::vector<int> order = ReportOrder(*form);
  FillTriples(*form, order, squares.theta, huber.theta, LadFrom(*form, huber.theta), &result);

  FormIntervals intervals(*form, squares.theta, squares.value, options.confidence);
  std::vector<std::string> of_ends;
  for (const int i : order) {
    const bool term = form->parameters()[i].kind == ParameterKind::kTerm;
    result.parameters.push_back(term ? intervals.DeltaOfTerm(i) : intervals.ProfileOf(i, &of_ends));
  }
  if (!means.shared_trunks) result.notes = std::move(of_ends);
  if (intervals.found_lower()) provenance.optimizer_status = "MULTIMODAL";
  provenance.interval_basis = "means";
  provenance.interval_method =
      absl::StrFormat("profile F(1, %d) on means over seeds, delta and t for terms, %g%%",
                      intervals.df(), 100 * options.confidence);
  RecordLackOfFit(*form, squares.theta, means, &result);
  result.folds = RollingOrigin(options.law, means, options.confidence);
  result.leave_largest_out_error = LeaveLargestOutError(options.law, means, result.folds);

  std::vector<std::string> faults = OptimizerFaults(provenance);
  if (means.shared_trunks) {
    faults.push_back(kTrunksFault);
  } else {
    const std::vector<std::string> wide = ExponentFaults(*form, intervals, result);
    faults.insert(faults.end(), wide.begin(), wide.end());
  }
  result.verdict = faults.empty() ? FitVerdict::kIdentified : FitVerdict::kNotIdentified;
  result.reason = faults.empty() ? absl::StrFormat("%d configurations, %d trials", result.n_configs,
                                                   result.n_trials)
                                 : "not identified: " + absl::StrJoin(faults, "; ");
  SetFitStatus(false, &result);
  if (means.shared_trunks) RemoveIntervals(&result);
  return result;
}

}  // namespace loglog
