#ifndef LOGLOG_PLAN_CHECK_H_
#define LOGLOG_PLAN_CHECK_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "plan/expand.h"

namespace loglog {

// A doubt about a plan that could run: what will not be learned from it, and why.
struct PlanWarning {
  std::string code;     // RANGE, NOISE, IMBALANCE, EPS, WARMUP, DATA, VOCAB, IDLE, ...
  std::string message;  // what is wrong, with the numbers
  std::string fix;      // what to change
};

// What is known beside the spec.
struct PlanContext {
  std::optional<int64_t> train_data_tokens;  // tokens in the training files
  std::optional<int64_t> val_data_tokens;
  double seed_noise = 0.003;        // sd of ln(loss) over seeds to plan with
  double slope_difference = 0.007;  // difference of local slopes worth resolving
};

std::vector<PlanWarning> CheckPlan(const SweepSpec& spec, const Expansion& expansion,
                                   const PlanContext& context = {});

// Two trials that differ in the arm alone.
struct PlannedPair {
  int line = 0;  // pairs on one line share an intercept: on D, those of one size
  double log_x = 0;
};

// Probability that the 95% interval of `compare` over these pairs (one for each
// configuration and seed) excludes 0: its test on pairs or on means over seeds, whichever
// it will choose, where ln(loss) of a trial has sd `noise` and no configuration an effect
// of its own. 0 where it gives no interval: under 3 values of x.
double PairedPower(const std::vector<PlannedPair>& pairs, double noise, double slope_difference);

// Standard error of beta in L = E + B D^-beta with E free, from trials at these D, for
// the planning curve of CheckPlan. Infinite when it cannot be had.
double BetaStandardError(const std::vector<double>& tokens, double noise);

}  // namespace loglog

#endif  // LOGLOG_PLAN_CHECK_H_
