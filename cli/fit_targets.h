#ifndef LOGLOG_CLI_FIT_TARGETS_H_
#define LOGLOG_CLI_FIT_TARGETS_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "cli/client.h"
#include "cli/predicted_losses.h"

namespace loglog::cli {

// One fit to ask the coordinator for.
struct FitWanted {
  std::string kind;  // "local_slope", "saturating", "joint" or "comparison"
  std::string axis;  // "D", "N" or "C"
  std::string arm;
  std::string arm_b;      // comparisons
  bool censored = false;  // with what the stopped trials say; not of comparisons
};

struct FitFilter {
  std::string arm;        // only this one, and no comparison; empty: all
  std::string axis;       // instead of what the spec says; empty: as it says
  bool censored = false;  // of every arm's fits, whatever the spec says
};

// What the fit section of the sweep's spec asks for, on each request's own axis and for every
// arm. A spec that asks for no fit of single arms gets the local slope and the exponent with
// a floor; one that compares nothing and has two arms gets these compared. `sweep` carries
// its spec.
std::vector<FitWanted> FitsWanted(const v1::Sweep& sweep, const std::vector<v1::Trial>& trials,
                                  const FitFilter& filter);

struct MadeFits {
  std::vector<v1::Fit> fits;                // in the order wanted
  std::vector<LawPredictions> predictions;  // beside them; empty where nothing was asked
  std::vector<absl::Status> errors;         // of the others; each names its fit
};

// Asks for all of them: one that cannot be made does not hide the others. Stops when the
// coordinator is out of reach; that error is the last.
// `at`: where the laws' losses are wanted besides.
MadeFits MakeFits(Client& client, const std::string& sweep, const std::vector<FitWanted>& wanted,
                  const std::vector<AskedPlace>& at = {});

// No coordinator answers, or not in time.
bool IsUnreachable(const absl::Status& status);

}  // namespace loglog::cli

#endif  // LOGLOG_CLI_FIT_TARGETS_H_
