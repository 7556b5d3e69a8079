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
  std::string code;     // RANGE, NOISE, IMBALANCE, EPS, WARMUP, EVAL, TRUNK, DATA, ...
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

// What a design would tell about one arm, or about a planned pair of arms, if every trial's
// ln(loss) had sd `seed_noise` and the loss followed the planning curve (BetaStandardError).
struct DesignForecast {
  std::string arm;
  std::string arm_b;  // of a contrast
  std::string axis;   // "D", "N" or "C"
  int trials = 0;     // of a contrast: pairs
  int distinct_x = 0;
  double span = 1;      // largest x over smallest
  double slope_se = 0;  // of the local slope; of a contrast: of the slope difference
  double beta_se = 0;   // of the exponent with E free, on the narrowest line; arms only
  // Contrasts: the difference of slopes that is found with probability 0.9; infinite when
  // none is.
  double detectable = 0;
};
// The first arm (arms of one shape are alike) and every planned contrast (without one,
// of the first two arms), at most 8 in all.
std::vector<DesignForecast> ForecastDesign(const SweepSpec& spec, const Expansion& expansion,
                                           const PlanContext& context = {});

// Another grid of token counts for one arm that costs no more (tokens in all) and tells more.
struct BetterGrid {
  std::vector<double> tokens;  // log-uniform, about the same budget for each
  std::vector<int> seeds;      // of each
  double slope_se = 0;
  double beta_se = 0;
};
// For trials of one size at these D (repeated for seeds). Empty `tokens`: none of 8 to 64x
// from the smallest D with 5 or 6 points lowers the error of beta by a fifth or more without
// raising the slope's.
BetterGrid FindBetterGrid(const std::vector<double>& tokens, double noise);
double SlopeStandardError(const std::vector<double>& x, double noise);

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
