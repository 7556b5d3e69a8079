#ifndef LOGLOG_PLAN_PLAN_H_
#define LOGLOG_PLAN_PLAN_H_

// The whole of plan/: from the text of a spec to trials, tasks, costs and doubts. Pure
// functions, thread-safe; no clock, no file, no network.

#include "plan/cell_config.h"
#include "plan/check.h"
#include "plan/cost.h"
#include "plan/expand.h"
#include "plan/explain.h"
#include "plan/report.h"
#include "plan/shapes.h"
#include "plan/spec.h"
#include "plan/spec_error.h"
#include "plan/value.h"

#endif  // LOGLOG_PLAN_PLAN_H_
