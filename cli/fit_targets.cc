#include "cli/fit_targets.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "base/status.h"
#include "cli/trial_stats.h"
#include "plan/spec.h"
#include "plan/stop_rule.h"

namespace loglog::cli {
namespace {

std::vector<FitRequest> RequestsOf(const v1::Sweep& sweep) {
  absl::StatusOr<SweepSpec> spec = ParseSpec(sweep.spec_json(), "stored spec");
  if (!spec.ok()) return {};
  std::erase_if(spec->fit, [](const FitRequest& fit) { return fit.kind == kStopRuleKind; });
  return std::move(spec->fit);
}

std::string Words(const FitWanted& wanted) {
  return absl::StrCat(wanted.kind, " in ", wanted.axis, " of ", wanted.arm,
                      wanted.arm_b.empty() ? "" : absl::StrCat(" and ", wanted.arm_b));
}

// The same error with the fit that it is about in front.
absl::Status Named(const FitWanted& wanted, const absl::Status& status) {
  return absl::Status(status.code(), absl::StrCat(Words(wanted), ": ", status.message()));
}

}  // namespace

bool IsUnreachable(const absl::Status& status) {
  return status.code() == absl::StatusCode::kUnavailable ||
         status.code() == absl::StatusCode::kDeadlineExceeded;
}

std::vector<FitWanted> FitsWanted(const v1::Sweep& sweep, const std::vector<v1::Trial>& trials,
                                  const FitFilter& filter) {
  const std::vector<std::string> all_arms = Arms(trials);
  const std::vector<std::string> arms =
      filter.arm.empty() ? all_arms : std::vector<std::string>{filter.arm};
  const std::string main_axis = MainScale(trials);
  const auto axis_of = [&](const std::string& asked) {
    return !filter.axis.empty() ? filter.axis : asked.empty() ? main_axis : asked;
  };
  std::vector<FitWanted> singles, comparisons;
  for (const FitRequest& request : RequestsOf(sweep)) {
    const std::string axis = axis_of(request.axis);
    if (request.kind == "comparison") {
      comparisons.push_back({request.kind, axis, request.arm, request.arm_b});
      continue;
    }
    // A law in N and D at once is filed under D by the coordinator; IsoFLOP is about C.
    const std::string own = request.kind == "isoflop" ? "C" : request.axis.empty() ? "D" : axis;
    for (const std::string& arm : arms) singles.push_back({request.kind, own, arm, ""});
  }
  if (singles.empty()) {
    for (const char* kind : {"local_slope", "saturating"}) {
      for (const std::string& arm : arms) singles.push_back({kind, axis_of(""), arm, ""});
    }
  }
  for (FitWanted& single : singles) single.censored = filter.censored;
  if (!filter.arm.empty()) return singles;
  if (comparisons.empty() && all_arms.size() == 2) {
    comparisons.push_back({"comparison", axis_of(""), all_arms[0], all_arms[1]});
  }
  singles.insert(singles.end(), comparisons.begin(), comparisons.end());
  return singles;
}

namespace {

absl::StatusOr<v1::Fit> Make(Client& client, const std::string& sweep, const FitWanted& one,
                             const std::vector<AskedPlace>& at) {
  if (one.kind == "comparison") {
    return client.CompareArms(sweep, one.arm, one.arm_b, one.axis);
  }
  LOGLOG_ASSIGN_OR_RETURN(const Axis axis, ParseAxis(one.axis));
  LOGLOG_ASSIGN_OR_RETURN(const std::vector<Place> places, PlacesFor(at, one.kind, axis));
  return client.CreateFit(sweep, one.arm, one.kind, one.axis, one.censored, AsMessages(places));
}

}  // namespace

MadeFits MakeFits(Client& client, const std::string& sweep, const std::vector<FitWanted>& wanted,
                  const std::vector<AskedPlace>& at) {
  MadeFits made;
  for (const FitWanted& one : wanted) {
    absl::StatusOr<v1::Fit> fit = Make(client, sweep, one, at);
    if (fit.ok()) {
      made.predictions.push_back(PredictionsOf(*fit));
      made.fits.push_back(*std::move(fit));
    } else if (IsUnreachable(fit.status())) {
      made.errors.push_back(fit.status());
      return made;
    } else {
      made.errors.push_back(Named(one, fit.status()));
    }
  }
  return made;
}

}  // namespace loglog::cli
