#include "fit/status.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_format.h"

namespace loglog {
namespace {

// Beyond this range more x tells E and an exponent apart no better.
constexpr double kRangeThatIdentifies = 64;
// From one support point of the best design for an exponent to the next.
constexpr double kSupportStep = 2.6;

std::vector<double> DistinctX(const FitResult& result) {
  std::vector<double> xs;
  for (const FitMean& point : result.points) xs.push_back(point.x);
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

std::string Cure(const FitResult& result) {
  const char* x = AxisSymbol(result.axis);
  const std::vector<double> xs = DistinctX(result);
  if (xs.empty()) return absl::StrFormat("train trials at several %s", x);
  const double low = xs.front(), high = xs.back();
  const double step = xs.size() > 1 ? std::pow(high / low, 1.0 / (xs.size() - 1)) : kSupportStep;
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
