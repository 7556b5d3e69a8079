#ifndef LOGLOG_PLAN_PLAN_CHECKS_H_
#define LOGLOG_PLAN_PLAN_CHECKS_H_

#include <vector>

#include "plan/check.h"

namespace loglog {

// The parts of CheckPlan.

// What the set of trials can show: RANGE, NOISE, IMBALANCE.
void CheckDesign(const SweepSpec& spec, const Expansion& expansion, const PlanContext& context,
                 std::vector<PlanWarning>* warnings);

// What happens inside the cells: EPS, WARMUP, DATA, VOCAB, IDLE.
void CheckCells(const SweepSpec& spec, const PlanContext& context,
                std::vector<PlanWarning>* warnings);

}  // namespace loglog

#endif  // LOGLOG_PLAN_PLAN_CHECKS_H_
