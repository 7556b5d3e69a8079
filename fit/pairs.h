#ifndef LOGLOG_FIT_PAIRS_H_
#define LOGLOG_FIT_PAIRS_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/line.h"
#include "fit/means.h"
#include "fit/observation.h"

namespace loglog {

// Two trials that differ in the arm alone: same N, D and seed, hence the same batches.
struct Pair {
  double n_params = 0;
  double d_tokens = 0;
  int64_t seed = 0;
  double ln_x = 0;
  double y1 = 0;  // ln L of arm 1
  double y2 = 0;
  int group = 0;  // index of the size held fixed (N on the D axis)
  int cell = 0;   // index of (N, D)
};

// Sorted by (group, x, seed), so that no later sum depends on the order of the input.
struct Pairs {
  std::vector<Pair> pairs;
  int n_groups = 0;
  int n_cells = 0;
  int n_distinct_x = 0;
  double x_min = 0;
  double x_max = 0;
  // Trials without a partner, as "D=1e+06 seed 2", and their number.
  std::vector<std::string> unpaired1;
  std::vector<std::string> unpaired2;
};

// Both arms must be valid for MeansOverSeeds. INVALID_ARGUMENT: two trials of one arm
// at one (N, D, seed).
absl::StatusOr<Pairs> MakePairs(absl::Span<const Observation> arm1,
                                absl::Span<const Observation> arm2, Axis axis);

// d = y1 - y2 of every pair, each with weight 1.
LineData DifferencesOfPairs(const Pairs& pairs);

using PairValue = absl::FunctionRef<double(const Pair&)>;
// A value of the pairs averaged over the seeds of each cell (weight: number of seeds).
LineData MeansOfCells(const Pairs& pairs, PairValue value);
// The same with the weights of WeightsOfMeans, for the curve of an arm or of a difference: all
// of one comparison are weighted alike, so that they belong to each other.
LineData WeightedCells(const Pairs& pairs, PairValue value);

// Scatter of a value between the seeds of a cell.
struct PureError {
  double squares = 0;
  int df = 0;
};
PureError PureErrorOf(const Pairs& pairs, PairValue value);

}  // namespace loglog

#endif  // LOGLOG_FIT_PAIRS_H_
