#ifndef LOGLOG_FIT_MEANS_H_
#define LOGLOG_FIT_MEANS_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/line.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

// One configuration averaged over its seeds.
struct ConfigMean {
  std::string config;
  double n_params = 0;
  double d_tokens = 0;
  double d_unique = 0;  // at most d_tokens
  double c_flops = 0;
  double x = 0;
  double ln_x = 0;
  double y = 0;       // mean of ln L over seeds
  int n_seeds = 0;    // that it is the mean of
  double weight = 0;  // precision in units of one trial's, see WeightsOfMeans
  int group = 0;      // index of the size held fixed, see ConfigMeans::group_sizes
  double mean_loss = 0;
  double sd_loss = kNoNumber;
};

// What is held fixed while x varies: N on the axis D, D on N. On C, N too where some size
// has several budgets, because a line through a grid of (N, D) in C is no law; nothing (0)
// where each size has one, as along a compute-optimal frontier, and with one size alone.
class Grouping {
 public:
  Grouping(Axis axis, absl::Span<const Observation> observations,
           absl::Span<const Observation> more = {});
  double SizeOf(const Observation& o) const;

 private:
  const Axis axis_;
  bool by_size_ = false;  // on C
};

// The observations of one arm on one axis, sorted by (group, x, configuration) and
// averaged over seeds, so that no later sum depends on the order of the input.
struct ConfigMeans {
  Axis axis = Axis::kTokens;
  std::vector<ConfigMean> points;
  std::vector<double> group_sizes;  // see Grouping
  int n_trials = 0;
  int n_distinct_x = 0;
  // Sum of squares of ln L about the configurations' means, and its degrees of freedom.
  double pure_error_ss = 0;
  int pure_error_df = 0;
  // Some trunk is shared by two observations: they are not independent.
  bool shared_trunks = false;

  double x_min() const;
  double x_max() const;
  // Without the points of the largest x; group numbers stay.
  ConfigMeans WithoutLargest() const;
};

// INVALID_ARGUMENT for an observation that no fit can use, naming it and the fix.
absl::StatusOr<ConfigMeans> MeansOverSeeds(absl::Span<const Observation> observations, Axis axis);

// The variance of a typical mean of so many seeds, in units of one trial's.
double VarianceOfTypicalMean(absl::Span<const double> seeds);

// What means over so many seeds weigh in a fit. As many as seeds where all have as many; else
// as if a configuration's own effect were as large as the noise of a typical mean, because
// with weights by seeds alone an effect counts as often as it was repeated, and with equal
// ones a lucky seed as much as the mean of eight (docs/decisions/fit-intervals.md).
std::vector<double> WeightsOfMeans(absl::Span<const double> seeds);

// "configuration 3fa9.. seed 2", for messages.
std::string Describe(const Observation& observation);

// Sets counts, range and points of a result.
void FillCounts(const ConfigMeans& means, FitResult* result);

// "N" for the axis D and so on: symbol of the size that groups hold fixed.
const char* GroupSymbol(Axis axis);

// The means as points of a line with an intercept for each size.
LineData AsLine(const ConfigMeans& means);
// The same, a mean of n seeds weighing n: with the pure error they are all single trials.
LineData AsLineOfTrials(const ConfigMeans& means);

}  // namespace loglog

#endif  // LOGLOG_FIT_MEANS_H_
