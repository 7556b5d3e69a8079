#ifndef LOGLOG_PLAN_TRUNKS_H_
#define LOGLOG_PLAN_TRUNKS_H_

#include <cstdint>
#include <vector>

#include "plan/cell_check.h"
#include "plan/cell_config.h"
#include "plan/expand.h"

namespace loglog {

// Trials that differ in nothing but train.tokens, under a learning rate and a lambda that are the
// same number step by step until one of them cools down, train the same numbers until then. The
// longest of them is their trunk: an ordinary trial, whole, which keeps a checkpoint at the others'
// branch points. What a branch ends with is what a run of its own would, to the bit where the
// trainer is deterministic.

// Where a branch of this configuration leaves its trunk: at the first step of its cooldown, and
// with at least one step left to train.
int64_t BranchStep(const CellConfig& config);

// Why this configuration cannot share a trunk.
std::vector<CellFault> CheckTrunk(const CellConfig& config);

// For each trial of the expansion, the index of the trial that is its trunk, or -1: the trunks
// themselves, and trials that have nothing in common with another.
std::vector<int> TrunksOf(const Expansion& expansion);

}  // namespace loglog

#endif  // LOGLOG_PLAN_TRUNKS_H_
