#ifndef LOGLOG_FIT_ISOFLOP_H_
#define LOGLOG_FIT_ISOFLOP_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "fit/observation.h"
#include "fit/result.h"

namespace loglog {

// The best size under one budget: the vertex of a parabola of ln L in ln N.
struct IsoFlopBudget {
  double c_flops = 0;  // geometric mean of its trials'
  int n_sizes = 0;
  double n_best = kNoNumber;
  double n_low = kNoNumber;  // Fieller; NaN with 3 sizes or shared trunks, infinite ends when flat
  double n_high = kNoNumber;
  double d_best = kNoNumber;
  double loss_best = kNoNumber;
  // Empty when the minimum lies inside the trained sizes; else why this budget has none.
  std::string fault;
};

struct IsoFlopFit {
  std::vector<IsoFlopBudget> budgets;  // by c_flops
  // Parameters "a" and "b" of N* = N_0*C^a and D* = D_0*C^b with t intervals over
  // budgets, "N_0", "D_0"; points hold C, the loss and N* of each budget used.
  FitResult law;
};

struct IsoFlopOptions {
  double confidence = 0.95;
  double huber_delta = 1e-3;
  // Budgets closer than this share of ln C are one: exact FLOPs of a size grid scatter.
  double ln_c_gap = 0.1;
};

// Budgets whose minimum is not inside their sizes are left out of the law and named in its
// notes (FLAT), with the sizes to train. Refused with a reason under 2 usable budgets; with
// 2, point estimates only. INVALID_ARGUMENT: as FitLocalSlope on the axis C.
absl::StatusOr<IsoFlopFit> FitIsoFlop(absl::Span<const Observation> observations,
                                      const IsoFlopOptions& options = {});

}  // namespace loglog

#endif  // LOGLOG_FIT_ISOFLOP_H_
