#ifndef LOGLOG_FIT_BOOTSTRAP_H_
#define LOGLOG_FIT_BOOTSTRAP_H_

#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/form.h"
#include "fit/result.h"

namespace loglog {

struct BootstrapOptions {
  int resamples = 1999;
  // The key of the random streams: the same id gives the same interval at any number of
  // threads.
  std::string fit_id;
  int threads = 1;
  double confidence = 0.95;
  // Wild: which points share a cluster (a trunk, or a configuration of single trials),
  // numbered from 0. Empty: each point is its own.
  std::vector<int> cluster;
};

// Intervals of every component of a least-squares minimum `theta` of `form` by the wild
// bootstrap: residuals divided by 1 - leverage (HC3), a cluster's times the inverse of its
// block of 1 - H (CR3), with normal multipliers; symmetric, widened from the normal's to
// t's quantile at clusters - parameters degrees of freedom. Holds under noise that grows
// over the points; wide (.98) for a line on 4 points. Names and natural values as
// Form::parameters.
// FAILED_PRECONDITION: no more clusters than parameters, a bound is active, or a cluster
// alone fixes a parameter, so that there is no linear model to resample about.
absl::StatusOr<std::vector<FitParameter>> WildBootstrap(const Form& form,
                                                        const std::vector<double>& theta,
                                                        const BootstrapOptions& options);

// Draws points with replacement; percentile intervals. FAILED_PRECONDITION under 30 points,
// where they are several times too wide.
absl::StatusOr<std::vector<FitParameter>> PairsBootstrap(const Form& form, Loss loss,
                                                         const std::vector<double>& theta,
                                                         const BootstrapOptions& options);

// The minimum of `loss` over the points of `form` that were drawn counts[i] times: from
// `theta`, the minimum over all points, and from the grid of starts when that end has a
// gradient left.
struct Refit {
  std::vector<double> theta;
  double value = 0;
  bool converged = false;
};
Refit RefitResample(const Form& form, Loss loss, const std::vector<double>& theta,
                    absl::Span<const int> counts);

// Calls fn(i) for 0 <= i < n on so many threads, each index once. Which thread takes an
// index must not matter to fn.
void ForEachIndex(int n, int threads, absl::FunctionRef<void(int)> fn);

}  // namespace loglog

#endif  // LOGLOG_FIT_BOOTSTRAP_H_
