#ifndef LOGLOG_FIT_RESULT_H_
#define LOGLOG_FIT_RESULT_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "base/no_number.h"
#include "fit/observation.h"
#include "nlohmann/json_fwd.hpp"

namespace loglog {

// Version of the fitting code: changes whenever the same inputs may give another
// number, so that a stored fit tells which code it came from.
inline constexpr char kFitVersion[] = "fit-9";

enum class FitVerdict {
  kOk,             // an estimate with an interval
  kIdentified,     // exponent with E free: the data fix it
  kNotIdentified,  // they do not; `reason` says what would
  kRefused,        // no interval; perhaps a point estimate. `reason` says what is missing
};

// How the fit ended, whatever its verdict; words and cures in fit/status.h.
enum class FitStatus {
  kConverged,
  kAtBound,
  kMultimodal,
  kTooFewPoints,
  kNotIdentified,
  kRefused,  // the trials cannot stand side by side
};

// An estimate and its interval. An end that the data do not set is where the quantity
// itself ends (0 or +-infinity) and is spoken of in FitResult::notes; without any
// interval both ends are NaN.
struct FitParameter {
  std::string name;
  double estimate = kNoNumber;
  double low = kNoNumber;
  double high = kNoNumber;
};

// What was fitted: one configuration, averaged over its seeds.
struct FitMean {
  double x = 0;
  double mean_loss = 0;        // arithmetic
  double sd_loss = kNoNumber;  // over seeds; NaN with one seed
  int n = 0;
  double other = 0;  // the size held fixed on this axis: N for D, D for N, N or 0 for C
};

// One parameter under three objectives: how far the answer hangs on the choice.
struct FitTriple {
  std::string name;
  double least_squares = kNoNumber;
  double huber = kNoNumber;
  double lad = kNoNumber;
};

// A law fitted to the cheapest configurations, held against a dearer one.
struct FitFold {
  int n_fitted = 0;  // configurations it was fitted to
  double x = 0;      // of the one predicted
  double error = 0;  // (predicted - observed) / observed
  int covered = -1;  // by the prediction interval: 1 or 0; -1: there was none
};

// How the numbers came about; together with the trials' hashes, which the caller
// adds, enough to compute them again.
struct FitProvenance {
  std::string version = kFitVersion;
  std::string objective;        // "sum of squares of ln residuals"
  std::string interval_method;  // "profile F on means over seeds, 95%"
  std::string interval_basis;   // "means", "runs", "means and runs" or "" without an interval
  double confidence = 0.95;
  double huber_delta = kNoNumber;
  int starts_grid = 0;      // starts that were ranked
  int starts_polished = 0;  // starts that were minimized
  int starts_agreed = 0;    // polished starts that ended at the best objective
  double objective_value = kNoNumber;
  double projected_gradient = kNoNumber;   // largest component; objective scaled by 1e6
  std::string optimizer_status;            // "CLOSED_FORM", "CONVERGED", "MULTIMODAL", ...
  std::vector<std::string> active_bounds;  // "E at its lower bound 0.05"
  double correlation_e_exponent = kNoNumber;
  double lack_of_fit_p = kNoNumber;  // NaN without replicates
  double aicc = kNoNumber;           // comparable over forms of the same points
  // Root mean square of the ln residuals, each mean weighing its seeds: no guide to what
  // the law is worth beyond the data.
  double in_sample_error = kNoNumber;
};

struct FitResult {
  std::string kind;  // "local_slope", "comparison" or the name of a law
  Axis axis = Axis::kTokens;
  std::string definition;                // in words: what the headline number is
  std::string form;                      // "L = E + B*D^-beta"
  std::vector<FitParameter> parameters;  // headline first
  FitVerdict verdict = FitVerdict::kRefused;
  std::string reason;  // of the verdict; names what is missing where something is
  FitStatus status = FitStatus::kRefused;
  std::string cure;  // the trial that would help most; empty when none is needed
  std::vector<std::string> notes;
  int n_trials = 0;
  int n_configs = 0;
  int n_distinct_x = 0;  // values of the axis among them
  int n_pairs = 0;       // comparisons
  double x_min = kNoNumber;
  double x_max = kNoNumber;
  std::vector<FitMean> points;
  std::vector<FitTriple> triples;
  double p_value = kNoNumber;  // comparisons: one-sided, arm 1 steeper than arm 2
  // Refit without the configurations of the largest x, then predict them:
  // (predicted - observed) / observed. NaN when what is left cannot be fitted.
  double leave_largest_out_error = kNoNumber;
  std::vector<FitFold> folds;  // rolling origin, in order of cost
  FitProvenance provenance;

  // nullptr when there is no such parameter.
  const FitParameter* Find(absl::string_view name) const;
};

// "ok", "identified", "not identified" or "refused".
const char* VerdictWord(FitVerdict verdict);

// Everything about the result that the other fields of a stored fit do not hold:
// provenance, triples, notes. Numbers that JSON lacks become "nan", "inf", "-inf".
nlohmann::json ProvenanceJson(const FitResult& result);

}  // namespace loglog

#endif  // LOGLOG_FIT_RESULT_H_
