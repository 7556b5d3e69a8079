#include "fit/identified.h"

#include <cmath>

#include "absl/strings/str_format.h"
#include "fit/minimize.h"

namespace loglog {
namespace {

constexpr double kLow = 0.02;
constexpr double kHigh = 1.5;
constexpr double kWidth = 0.15;
constexpr double kCorrelation = 0.995;

}  // namespace

std::vector<std::string> IdentificationFaults(const FitParameter& exponent, double correlation) {
  std::vector<std::string> faults;
  if (!(exponent.low > kLow && exponent.high < kHigh)) {
    faults.push_back(absl::StrFormat("its interval is not inside (%g, %g)", kLow, kHigh));
  }
  if (!(exponent.high - exponent.low < kWidth)) {
    faults.push_back(absl::StrFormat("its interval is not narrower than %g", kWidth));
  }
  if (std::isnan(correlation)) {
    faults.push_back("it cannot be told from E");
  } else if (!(std::fabs(correlation) < kCorrelation)) {
    faults.push_back(absl::StrFormat("it moves together with E (correlation %.4f)", correlation));
  }
  return faults;
}

std::vector<std::string> OptimizerFaults(const FitProvenance& provenance) {
  std::vector<std::string> faults = provenance.active_bounds;
  if (provenance.optimizer_status == "MULTIMODAL" && provenance.starts_agreed >= kStartsToAgree) {
    faults.push_back("the optimizer ended MULTIMODAL: a profile met a lower point than all starts");
  } else if (provenance.optimizer_status != "CONVERGED") {
    faults.push_back(absl::StrFormat("the optimizer ended %s (%d of %d starts agree)",
                                     provenance.optimizer_status, provenance.starts_agreed,
                                     provenance.starts_polished));
  }
  return faults;
}

void RemoveIntervals(FitResult* result) {
  for (FitParameter& parameter : result->parameters) parameter.low = parameter.high = kNoNumber;
  result->provenance.interval_basis.clear();
  result->provenance.interval_method.clear();
  if (result->status == FitStatus::kNotIdentified) {
    result->cure = "train separate trials, which share no trunk";
  }
}

}  // namespace loglog
