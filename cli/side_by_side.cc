#include "cli/side_by_side.h"

#include "absl/strings/numbers.h"
#include "base/status.h"
#include "fitting/fitter.h"
#include "nlohmann/json.hpp"

namespace loglog::cli {
namespace {

TrialState StateOf(v1::Trial::State state) {
  switch (state) {
    case v1::Trial::DONE:
      return TrialState::kDone;
    case v1::Trial::DIVERGED:
      return TrialState::kDiverged;
    case v1::Trial::STOPPED:
      return TrialState::kStopped;
    default:
      return TrialState::kPending;
  }
}

// As a store has it, as far as a fit asks.
ObservationRow RowOf(const v1::Trial& trial) {
  ObservationRow row;
  if (!absl::SimpleAtoi(trial.name().substr(trial.name().rfind('/') + 1), &row.number)) {
    row.number = 0;
  }
  row.arm = trial.arm();
  row.cell_sha256 = trial.cell_sha256();
  nlohmann::json axes = nlohmann::json::object();
  for (const auto& [axis, value] : trial.axes()) axes[axis] = value;
  row.axes_json = axes.dump();
  row.seed = trial.seed();
  row.state = StateOf(trial.state());
  row.params_total = trial.params_total();
  row.params_non_embedding = trial.params_non_embedding();
  row.tokens = trial.tokens_planned();
  row.flops = trial.flops();
  row.final_loss = trial.final_loss();
  row.trial_sha256 = trial.trial_sha256();
  row.data_sha256 = trial.data_sha256();
  row.trainer_version = trial.trainer_version();
  return row;
}

}  // namespace

absl::Status CheckSideBySide(const v1::Sweep& sweep, const std::vector<v1::Trial>& trials,
                             const std::vector<std::string>& arms) {
  LOGLOG_ASSIGN_OR_RETURN(const FitPlan plan, FitPlanOf(sweep.spec_json()));
  std::vector<ObservationRow> rows;
  for (const v1::Trial& trial : trials) rows.push_back(RowOf(trial));
  const std::string why = Fitter(rows, plan).WhyRefused(arms);
  return why.empty() ? absl::OkStatus() : absl::FailedPreconditionError(why);
}

}  // namespace loglog::cli
