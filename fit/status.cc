#include "fit/status.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"
#include "absl/strings/string_view.h"
#include "fit/identified.h"
#include "fit/law_fit.h"

namespace loglog {
namespace {

// Beyond this range more x tells E and an exponent apart no better.
constexpr double kRangeThatIdentifies = 64;
// From one support point of the best design for an exponent to the next.
constexpr double kSupportStep = 2.6;

std::vector<double> Distinct(const FitResult& result, double FitMean::*size) {
  std::vector<double> xs;
  for (const FitMean& point : result.points) xs.push_back(point.*size);
  std::sort(xs.begin(), xs.end());
  xs.erase(std::unique(xs.begin(), xs.end()), xs.end());
  return xs;
}

// The middle, in ln x, of the widest gap.
double WidestGap(const std::vector<double>& xs) {
  double best = xs.front();
  double widest = 0;
  for (size_t i = 1; i < xs.size(); ++i) {
    const double ratio = xs[i] / xs[i - 1];
    if (ratio <= widest) continue;
    widest = ratio;
    best = std::sqrt(xs[i]) * std::sqrt(xs[i - 1]);
  }
  return best;
}

double StepOf(const std::vector<double>& xs) {
  return xs.size() > 1 ? std::pow(xs.back() / xs.front(), 1.0 / (xs.size() - 1)) : kSupportStep;
}

// Whether the interval of this exponent says little.
bool IsWide(const FitResult& result, absl::string_view exponent) {
  const FitParameter* p = result.Find(exponent);
  return p != nullptr && !IdentificationFaults(*p, /*correlation=*/0).empty();
}

// Of a law of N and D: where both sizes have to vary.
std::string JointCure(const FitResult& result) {
  const std::vector<double> ds = Distinct(result, &FitMean::x);
  const std::vector<double> ns = Distinct(result, &FitMean::other);
  if (ds.empty()) return "train trials at several N and D";
  constexpr size_t kValues = 3;  // of each size, to bend
  const auto further = [](const char* symbol, const std::vector<double>& xs, const char* other) {
    return absl::StrFormat("train trials at %s = %.3g, one step beyond the largest, at each %s",
                           symbol, xs.back() * StepOf(xs), other);
  };
  switch (result.status) {
    case FitStatus::kConverged:
    case FitStatus::kRefused:
      return "";
    case FitStatus::kTooFewPoints:
      if (ns.size() < kValues) return further("N", ns, "D");
      return result.kind == LawName(Law::kDataConstrained) && ds.size() >= kValues
                 ? "train on fewer unique tokens for more epochs"
                 : further("D", ds, "N");
    case FitStatus::kMultimodal:
      return absl::StrFormat(
          "train a trial at N = %.3g, D = %.3g, in the widest gaps of the points",
          ns.size() > 1 ? WidestGap(ns) : ns.back() * kSupportStep,
          ds.size() > 1 ? WidestGap(ds) : ds.back() * kSupportStep);
    case FitStatus::kAtBound:
      return absl::StrFormat(
          "train trials at N = %.3g and at D = %.3g, where each term would stand out from the "
          "others",
          ns.front() / kSupportStep, ds.back() * 4);
    case FitStatus::kNotIdentified:
      for (const auto& [symbol, exponent, xs] :
           {std::tuple("N", "alpha", &ns), std::tuple("D", "beta", &ds)}) {
        // One exponent may stand for both.
        const bool wide = IsWide(result, result.Find(exponent) != nullptr ? exponent : "beta");
        if (!wide || xs->back() / xs->front() >= kRangeThatIdentifies) continue;
        return absl::StrFormat("train trials at %s = %.3g, %gx the smallest", symbol,
                               xs->front() * kRangeThatIdentifies, kRangeThatIdentifies);
      }
      return "train more seeds at each configuration: intervals shrink with the root of their "
             "number";
  }
  return "";
}

bool IsOfNAndD(const FitResult& result) {
  const absl::StatusOr<Law> law = ParseLaw(result.kind);
  return law.ok() && IsJointLaw(*law);
}

std::string Cure(const FitResult& result) {
  if (IsOfNAndD(result)) return JointCure(result);
  const char* x = AxisSymbol(result.axis);
  const std::vector<double> xs = Distinct(result, &FitMean::x);
  if (xs.empty()) return absl::StrFormat("train trials at several %s", x);
  const double low = xs.front(), high = xs.back();
  const double step = StepOf(xs);
  switch (result.status) {
    case FitStatus::kConverged:
      return "";
    case FitStatus::kRefused:
      return "";
    case FitStatus::kTooFewPoints:
      return absl::StrFormat("train a trial at %s = %.3g, one step beyond the largest", x,
                             high * step);
    case FitStatus::kMultimodal:
      return absl::StrFormat("train a trial at %s = %.3g, in the widest gap of the points", x,
                             xs.size() > 1 ? WidestGap(xs) : high * step);
    case FitStatus::kAtBound:
      for (const std::string& bound : result.provenance.active_bounds) {
        if (absl::StrContains(bound, "upper bound") && !absl::StartsWith(bound, "E ")) {
          return absl::StrFormat(
              "the loss stops falling within the smallest %s: train a trial at %s = %.3g", x, x,
              low / kSupportStep);
        }
      }
      return absl::StrFormat(
          "train a trial at %s = %.3g, where a floor would begin to show; until then the local "
          "slope says all that these points do",
          x, high * 4);
    case FitStatus::kNotIdentified:
      if (high / low < kRangeThatIdentifies) {
        return absl::StrFormat("train trials at %s = %.3g, %gx the smallest", x,
                               low * kRangeThatIdentifies, kRangeThatIdentifies);
      }
      if (result.provenance.lack_of_fit_p < kLackOfFitLevel) {
        return "fit another form or a narrower range: this one misses the means by more than seeds "
               "explain, which more of them would only show better";
      }
      return absl::StrFormat(
          "train more seeds at each %s: intervals shrink with the root of their number", x);
  }
  return "";
}

}  // namespace

const char* FitStatusName(FitStatus status) {
  switch (status) {
    case FitStatus::kConverged:
      return "CONVERGED";
    case FitStatus::kAtBound:
      return "AT_BOUND";
    case FitStatus::kMultimodal:
      return "MULTIMODAL";
    case FitStatus::kTooFewPoints:
      return "TOO_FEW_POINTS";
    case FitStatus::kNotIdentified:
      return "NOT_IDENTIFIED";
    case FitStatus::kRefused:
      return "REFUSED";
  }
  return "?";
}

const char* FitStatusWords(FitStatus status) {
  switch (status) {
    case FitStatus::kConverged:
      return "the starts agree on one best law, inside the bounds";
    case FitStatus::kAtBound:
      return "the best law lies on the edge of what the form allows, so these points do not fix it";
    case FitStatus::kMultimodal:
      return "different laws fit these points about equally well, and the starts do not agree on "
             "one";
    case FitStatus::kTooFewPoints:
      return "there are fewer configurations than this form needs";
    case FitStatus::kNotIdentified:
      return "the law fits, but with quite another exponent it would fit about as well";
    case FitStatus::kRefused:
      return "these trials cannot stand in one fit";
  }
  return "";
}

void SetFitStatus(bool too_few, FitResult* result) {
  const FitProvenance& provenance = result->provenance;
  if (too_few) {
    result->status = FitStatus::kTooFewPoints;
  } else if (result->verdict == FitVerdict::kRefused &&
             (result->parameters.empty() || provenance.optimizer_status == "CLOSED_FORM")) {
    // Estimates without an interval are shown, and answer nothing.
    result->status = FitStatus::kRefused;
  } else if (!provenance.optimizer_status.empty() && provenance.optimizer_status != "CONVERGED" &&
             provenance.optimizer_status != "CLOSED_FORM") {
    result->status = FitStatus::kMultimodal;
  } else if (!provenance.active_bounds.empty()) {
    result->status = FitStatus::kAtBound;
  } else if (result->verdict == FitVerdict::kNotIdentified) {
    result->status = FitStatus::kNotIdentified;
  } else {
    result->status = FitStatus::kConverged;
  }
  result->cure = Cure(*result);
}

}  // namespace loglog
